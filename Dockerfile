# The wheel and the hashed lock go into a virtual environment, and that alone into the image.
FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /build

COPY requirements/bootstrap.txt requirements/
RUN pip install --require-hashes -r requirements/bootstrap.txt

# Changes less often than the code, so it stands before it.
COPY requirements/runtime.txt requirements/
RUN uv venv /opt/holdfast \
    && uv pip sync --python /opt/holdfast/bin/python --require-hashes --compile-bytecode requirements/runtime.txt

# dev.txt holds the hashes of what builds the wheel; nothing else of it is installed.
COPY requirements/dev.txt requirements/
COPY pyproject.toml README.md LICENSE ./
COPY domain domain
COPY application application
COPY adapters adapters
COPY entrypoints entrypoints
RUN uv build --wheel --out-dir dist --build-constraint requirements/dev.txt --require-hashes \
    && uv pip install --python /opt/holdfast/bin/python --no-deps --compile-bytecode dist/*.whl


FROM python:3.13-slim
ENV PATH=/opt/holdfast/bin:$PATH PYTHONUNBUFFERED=1 HOLDFAST_HOST=0.0.0.0 HOLDFAST_DATA=/var/lib/holdfast
RUN useradd --system --uid 10001 --no-create-home --home-dir /var/lib/holdfast --shell /usr/sbin/nologin holdfast \
    && install --directory --owner holdfast --group holdfast --mode 0750 /var/lib/holdfast
COPY --from=build /opt/holdfast /opt/holdfast

# By number, so that an orchestrator sees that it is not root.
USER 10001
WORKDIR /var/lib/holdfast
VOLUME /var/lib/holdfast
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s --retries=3 CMD ["python", "-m", "entrypoints.alive"]
ENTRYPOINT ["holdfast"]
CMD ["up"]
