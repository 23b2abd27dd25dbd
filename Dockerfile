# One image for the three programs: the mock (what it does by itself), the gateway, and Locust.
FROM python:3.11.15-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /opt/mockclaude
COPY pyproject.toml README.md LICENSE ./
COPY deploy/nginx/nginx.conf.j2 deploy/nginx/
COPY mockclaude mockclaude
COPY gateway_under_test gateway_under_test
COPY loadtests loadtests
RUN pip wheel --no-cache-dir --no-deps --wheel-dir dist . \
    && for wheel in dist/*.whl; do /opt/mockclaude/bin/pip install --no-cache-dir "${wheel}[all]"; done

FROM python:3.11.15-slim-bookworm
COPY --from=build /opt/mockclaude /opt/mockclaude
ENV PATH=/opt/mockclaude/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
# The same path as in a checkout, so that the same command works.
COPY loadtests/locustfile.py loadtests/
USER 10001:10001
EXPOSE 8100 8200 8089 5557
CMD ["mockclaude", "serve", "--host", "0.0.0.0"]
