# Two images of one build: `sistercity` for every role without pictures, and `sistercity-pictures`, which adds OpenCV for
# the roles that look at pictures. docker-compose.yml says which role has which.

# The base. docker-compose.yml gives it from .env, the one place that pins it: a tag, and a digest behind it.
ARG SISTERCITY_PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${SISTERCITY_PYTHON_IMAGE} AS build
WORKDIR /build
COPY requirements/build.txt requirements/sbom.txt requirements/node.txt requirements/
# The environment that is taken over below gets wheels alone, each with a known hash: nothing is compiled.
RUN python -m pip install --no-cache-dir --require-hashes --requirement requirements/build.txt \
 && python -m venv --without-pip /opt/sistercity \
 && python -m pip --python /opt/sistercity/bin/python install \
    --no-cache-dir --require-hashes --only-binary :all: --requirement requirements/node.txt
RUN python -m venv --without-pip /opt/sbom \
 && python -m pip --python /opt/sbom/bin/python install \
    --no-cache-dir --require-hashes --only-binary :all: --requirement requirements/sbom.txt

# What only pictures need, on top of the same versions of everything else.
FROM build AS pictures
COPY requirements/pictures.txt requirements/
RUN python -m pip --python /opt/sistercity/bin/python install \
    --no-cache-dir --require-hashes --only-binary :all: --requirement requirements/pictures.txt

FROM build AS project
COPY pyproject.toml README.md LICENSE ./
COPY requirements/slim.py requirements/
COPY addresses addresses
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
 && python -m pip --python /opt/sistercity/bin/python install --no-cache-dir --no-deps dist/*.whl \
 && python requirements/slim.py /opt/sistercity

# The list of what is inside, and of its licences, for each image: CycloneDX, and a table to read.
FROM project AS inside
COPY requirements/licences.py requirements/
RUN install --directory /inside \
 && /opt/sbom/bin/cyclonedx-py environment --output-reproducible --output-file /inside/sbom.cdx.json \
    /opt/sistercity/bin/python \
 && python requirements/licences.py /inside/sbom.cdx.json > /inside/licences.txt

FROM pictures AS inside-pictures
COPY --from=project /build/dist dist
COPY requirements/licences.py requirements/
RUN python -m pip --python /opt/sistercity/bin/python install --no-cache-dir --no-deps dist/*.whl \
 && install --directory /inside /only/lib/python3.11/site-packages \
 && /opt/sbom/bin/cyclonedx-py environment --output-reproducible --output-file /inside/sbom.cdx.json \
    /opt/sistercity/bin/python \
 && python requirements/licences.py /inside/sbom.cdx.json > /inside/licences.txt \
 && cp --archive /opt/sistercity/lib/python3.11/site-packages/cv2 \
    /opt/sistercity/lib/python3.11/site-packages/opencv_python_headless* /only/lib/python3.11/site-packages/

# The base without what installs or what nobody runs in a container: packages of Python, its own development files.
FROM ${SISTERCITY_PYTHON_IMAGE} AS base
RUN python -m pip uninstall --yes --root-user-action ignore wheel setuptools pip \
 && cd /usr/local/lib/python3.11 \
 && rm -rf ensurepip idlelib lib2to3 pydoc_data test tkinter turtledemo /usr/local/include /usr/local/bin/pip* \
    /usr/share/doc/* /usr/share/i18n /usr/share/info/* /usr/share/man/* /var/cache/* /var/log/* /etc/pip.conf \
 && groupadd --gid 10001 sistercity \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/sistercity --shell /usr/sbin/nologin sistercity \
 && install --directory --owner 10001 --group 10001 --mode 0700 \
    /var/lib/sistercity /var/lib/sistercity/open-windows /var/lib/sistercity/ledger
COPY requirements/slim.py /
RUN python /slim.py --files /usr/local/lib && rm /slim.py

# From nothing, so that what was removed takes no room in a layer further down.
FROM scratch AS sistercity
COPY --from=base / /
COPY --from=project /opt/sistercity /opt/sistercity
COPY --from=inside /inside /usr/share/sistercity
ENV PATH=/opt/sistercity/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SISTERCITY_HOME=/var/lib/sistercity
USER 10001:10001
WORKDIR /var/lib/sistercity
ENTRYPOINT ["sistercity"]
CMD ["--help"]
ARG SISTERCITY_PYTHON_IMAGE
LABEL org.opencontainers.image.title="sistercity" \
      org.opencontainers.image.description="Exchange of a city's aggregated figures with its sister cities" \
      org.opencontainers.image.version="0.2.0.dev0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${SISTERCITY_PYTHON_IMAGE}"

FROM sistercity AS sistercity-pictures
COPY --from=inside-pictures /only /opt/sistercity
COPY --from=inside-pictures /inside /usr/share/sistercity
LABEL org.opencontainers.image.title="sistercity-pictures"
