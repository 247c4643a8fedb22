# Run Tapedeck in a container, without root and capabilities, writing only to /data.
#
#   docker build -t tapedeck .
#   docker run --read-only --cap-drop=ALL --security-opt=no-new-privileges -v tapedeck:/data -p 127.0.0.1:8000:8000 tapedeck
#
# PYTHON_IMAGE is the base image: name it with a digest, python:3.11-slim-bookworm@sha256:…, to build the same image again.
# TORCH_INDEX is the URL of an index with PyTorch's wheels for the CPU. Set it if pip's own index has builds for GPUs.
# Behind a private certificate authority, mount its file into the build and set PIP_CERT and NODE_EXTRA_CA_CERTS to its path.

ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG TORCH_INDEX
ARG PIP_CERT
ARG NODE_EXTRA_CA_CERTS
ENV PIP_CONSTRAINT=/src/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# Install the dependencies first, so that changes of the code reuse their layer.
COPY constraints.txt pyproject.toml ./
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN python3 -m venv /opt/tapedeck \
    && python3 -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
       > requirements.txt \
    && /opt/tapedeck/bin/pip install --quiet ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r requirements.txt
# The code in C is optional: without a compiler, programs are recorded more slowly.
# hadolint ignore=DL3008
RUN { apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev; } >/dev/null || echo "there is no C compiler"
COPY . ./
RUN /opt/tapedeck/bin/pip install --quiet --no-deps . \
    && /opt/tapedeck/bin/pip uninstall --quiet --yes pip

FROM ${PYTHON_IMAGE}
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin tapedeck \
    && install --directory --owner=tapedeck --group=tapedeck --mode=0700 /data
COPY --from=build /opt/tapedeck /opt/tapedeck
ENV PATH=/opt/tapedeck/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/data \
    TMPDIR=/data \
    TAPEDECK_DATA=/data
WORKDIR /data
VOLUME /data
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/readyz', timeout=8)"]
CMD ["tapedeck", "serve", "--host", "0.0.0.0", "--port", "8000"]
