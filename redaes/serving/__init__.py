"""The assessor as a service: vLLM started and watched, the front door before a model, and its page."""
