# One node. Everything it keeps is in PostgreSQL, so the image may be thrown away at any time.

FROM python:3.13.5-slim-bookworm AS built
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY talksy talksy
RUN python -m venv /talksy && /talksy/bin/pip install --no-cache-dir .

FROM python:3.13.5-slim-bookworm
RUN useradd --system --uid 10001 --user-group --no-create-home talksy \
    && install --directory --mode 700 --owner talksy --group talksy /data
COPY --from=built /talksy /talksy
ENV PATH=/talksy/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=3000 \
    DATA_DIR=/data
WORKDIR /data
VOLUME /data
USER 10001:10001
EXPOSE 3000
STOPSIGNAL SIGTERM
# Ready and not only alive: who cannot serve is sent nobody.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:3000/health/ready', timeout=2)"]
ENTRYPOINT ["talksy"]
CMD ["serve"]
