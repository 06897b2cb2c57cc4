"""The assessor as a service: vLLM started and watched, the HTTP service before a model, and its page."""
