# The service alone, for a model behind vLLM (compose.yaml): no torch and no model in it.
FROM python:3.12-slim-bookworm

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY redaes redaes
COPY prompts prompts
# What the package needs with a model in its own process (torch, transformers) is left out on purpose.
RUN pip install --no-cache-dir --compile -c constraints.txt \
        fastapi httpx numpy pillow prometheus-client pydantic python-multipart rich safetensors typer uvicorn hatchling \
    && pip install --no-cache-dir --no-deps --no-build-isolation . \
    && rm -rf /src/*

WORKDIR /
USER 10001:10001
EXPOSE 8080
# 503 while the model cannot be asked.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["redaes", "serve", "--host", "0.0.0.0"]
