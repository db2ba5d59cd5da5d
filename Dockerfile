# One image for every role; docker-compose.yml says which. `docker build --tag sistercity:0.2.0.dev0 .`

FROM python:3.11.14-slim-bookworm AS build
WORKDIR /build
COPY requirements/build.txt requirements/node.txt requirements/
# The environment that is taken over below gets wheels alone, each with a known hash: nothing is compiled.
RUN python -m pip install --no-cache-dir --require-hashes --requirement requirements/build.txt \
 && python -m venv --without-pip /opt/sistercity \
 && python -m pip --python /opt/sistercity/bin/python install \
    --no-cache-dir --require-hashes --only-binary :all: --requirement requirements/node.txt
COPY pyproject.toml README.md LICENSE ./
COPY api api
COPY embedded embedded
COPY errors errors
COPY eventlog eventlog
COPY federation federation
COPY ingest ingest
COPY node node
COPY processors processors
COPY schemas schemas
COPY store store
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
 && python -m pip --python /opt/sistercity/bin/python install --no-cache-dir --no-deps dist/*.whl

FROM python:3.11.14-slim-bookworm
RUN python -m pip uninstall --yes --root-user-action ignore wheel setuptools pip \
 && groupadd --gid 10001 sistercity \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/sistercity --shell /usr/sbin/nologin sistercity \
 && install --directory --owner 10001 --group 10001 --mode 0700 \
    /var/lib/sistercity /var/lib/sistercity/open-windows /var/lib/sistercity/ledger
COPY --from=build /opt/sistercity /opt/sistercity
ENV PATH=/opt/sistercity/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SISTERCITY_HOME=/var/lib/sistercity
USER 10001:10001
WORKDIR /var/lib/sistercity
ENTRYPOINT ["sistercity"]
CMD ["--help"]
