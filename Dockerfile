# potok's image: every role is a command of it (`docker run potok writer --help`).
#
# No build step: Node runs the TypeScript as it is. The first stage only fetches the packages that run, so that
# npm's cache and what the development needs stay out. tests/stack/deploy.test.ts holds that the folders copied
# below are all that the program reads.
FROM node:24.21.0-bookworm-slim AS packages
WORKDIR /potok
COPY package.json package-lock.json ./
# Node itself comes through npm for machines without it (node_modules/.bin/node): here the image has it. The other
# optional packages are native parts (DuckDB, LMDB) that are needed.
RUN npm ci --omit=dev --no-audit --no-fund \
 && rm -rf node_modules/node-linux-* node_modules/node-darwin-* node_modules/node-win-* node_modules/.bin/node

FROM node:24.21.0-bookworm-slim
WORKDIR /potok
ENV NODE_ENV=production
COPY --from=packages /potok/node_modules ./node_modules
COPY package.json potok ./
COPY kernel ./kernel
COPY iceberg ./iceberg
COPY catalog ./catalog
COPY ingest ./ingest
COPY rollups ./rollups
COPY api ./api
COPY adapters ./adapters
COPY app ./app
COPY deploy/s3 ./deploy/s3
# What a role keeps beside the tables: local copies of data files, scratch. The embedded set-up keeps all here.
RUN mkdir /data && chown node:node /data
VOLUME /data
ENV POTOK_DATA=/data POTOK_HOST=0.0.0.0
USER node
EXPOSE 8080 8181 1883
ENTRYPOINT ["/potok/potok"]
CMD ["up"]
