"""The assessor as a service: the HTTP service in front of a model, its page, and a vLLM server that is started and
watched.
"""
