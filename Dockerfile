# One image, both commands:
#   docker run -e DURAGRAPH_DATABASE_URL=… -e DURAGRAPH_NATS_URL=… -e DURAGRAPH_API_KEYS=… IMAGE
#   docker run -e DURAGRAPH_URL=… -e DURAGRAPH_API_KEY=… IMAGE duragraph-worker module:graph
FROM python:3.11-slim AS build
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --wheel-dir /wheels '.[speed,openai]'

FROM python:3.11-slim
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels 'duragraph[speed,openai]'
RUN useradd --system --uid 10001 --create-home duragraph
USER duragraph
WORKDIR /home/duragraph
ENV DURAGRAPH_HOST=0.0.0.0 \
    DURAGRAPH_LOG_FORMAT=json \
    PYTHONUNBUFFERED=1
EXPOSE 8123
# Only the plane listens; a worker's container sets --no-healthcheck.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD \
    ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('DURAGRAPH_PORT', 8123)}/ok\", timeout=2)"]
CMD ["duragraph", "serve"]
