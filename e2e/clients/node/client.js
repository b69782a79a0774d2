// Runs one query with the unmodified Node client, in the way that is named, and prints what a user of the library would see.
//
//   node client.js WAY SQL [JOB_ID]
//
// The gateway is the client's API endpoint; the credentials are the application default ones (GOOGLE_APPLICATION_CREDENTIALS). It prints one line of JSON:
// {"rows": [[…], …]}, {"error": "what the exception says"}, and what else the way has to show.
'use strict';
const {BigQuery} = require('@google-cloud/bigquery');

function plain(value) {
  if (value === null || value === undefined) return null;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value !== 'object') return String(value);
  if (value.constructor === Object) return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]));
  return String(value.value ?? value); // BigQueryTimestamp, Big
}

const rows = list => ({rows: list.map(row => Object.values(row).map(plain))});

async function run(client, way, sql, id) {
  switch (way) {
    case 'query': // jobs.query
      return rows((await client.query(sql))[0]);
    case 'create_job': { // jobs.insert
      const [job] = await client.createQueryJob(sql);
      return rows((await job.getQueryResults())[0]);
    }
    case 'pages': { // each page a request of its own
      const [job] = await client.createQueryJob(sql);
      let all = [];
      let [page, next] = await job.getQueryResults({autoPaginate: false, maxResults: 7});
      for (all = page; next; all = all.concat(page)) [page, next] = await job.getQueryResults(next);
      return rows(all);
    }
    case 'parameters':
      return rows((await client.query({query: sql, params: {id: 3}, labels: {team: 'data'}}))[0]);
    case 'dry_run': {
      const [job] = await client.createQueryJob({query: sql, dryRun: true});
      const statistics = job.metadata.statistics;
      return {bytes: statistics.totalBytesProcessed, columns: statistics.query.schema.fields.map(f => f.name)};
    }
    case 'list_rows': { // sql is the name of a table
      const [dataset, table] = sql.split('.');
      return rows((await client.dataset(dataset).table(table).getRows())[0]);
    }
    case 'metadata': {
      const [dataset, table] = sql.split('.');
      const [datasets] = await client.getDatasets();
      const [tables] = await client.dataset(dataset).getTables();
      const [metadata] = await client.dataset(dataset).table(table).getMetadata();
      return {datasets: datasets.map(d => d.id), tables: tables.map(t => t.id), columns: metadata.schema.fields.map(f => f.name)};
    }
    case 'cancel': {
      const [job] = await client.createQueryJob(sql);
      await new Promise(resolve => setTimeout(resolve, 1000));
      await job.cancel();
      return {cancelled: true, job: job.id, ...(await attempt(async () => rows((await job.getQueryResults())[0])))};
    }
    case 'start':
      return {job: (await client.createQueryJob(sql))[0].id};
    case 'attach':
      return rows((await client.job(id, {location: 'US'}).getQueryResults())[0]);
  }
  throw new Error(`there is no way ${way}`);
}

async function attempt(call) {
  try {
    return await call();
  } catch (e) {
    return {error: e.message};
  }
}

(async () => {
  const client = new BigQuery({apiEndpoint: process.env.BQGATE_REST, projectId: process.env.GOOGLE_CLOUD_PROJECT});
  const [way, sql, id] = process.argv.slice(2);
  console.log(JSON.stringify(await attempt(() => run(client, way, sql, id))));
})();
