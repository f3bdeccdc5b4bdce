# vivavoce's server on the CPU, with the versions in constraints.txt; compose.yaml runs it, see docs/how-to/serve.md. It
# has no PyTorch, which whisperspeech would need.
FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/vivavoce
COPY Makefile pyproject.toml constraints.txt README.md LICENSE ./
COPY vivavoce vivavoce
RUN make setup-serve VENV=/opt/venv

FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 10001 vivavoce && install -d -o vivavoce -g vivavoce /voices
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/vivavoce /opt/vivavoce
USER vivavoce
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 HF_HOME=/tmp/huggingface
VOLUME /voices
EXPOSE 8000
# VIVAVOCE_API_KEY must be set: a server that others can reach does not start without it.
CMD ["vivavoce", "serve", "--host", "0.0.0.0", "--port", "8000", "--voices", "/voices"]
