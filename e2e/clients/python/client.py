"""Runs one query with the unmodified Python client, in the way that is named, and prints what a user of the library would see.

    client.py WAY SQL [JOB_ID]

The gateway is the client's API endpoint; the credentials are the application default ones (GOOGLE_APPLICATION_CREDENTIALS). It prints one line of JSON:
{"rows": [[…], …]}, {"error": "what the exception says"}, and what else the way has to show.
"""

import json
import os
import sys
import time

import pandas
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.cloud import bigquery


def plain(value):
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value if value is None or isinstance(value, (str, bool)) else str(value)


def rows(result):
    return {"rows": [[plain(v) for v in row.values()] for row in result]}


def table(arrow):
    return {"rows": [[plain(v) for v in row.values()] for row in arrow.to_pylist()]}


def run(client, way, sql, job_id):
    if way == "query":
        return rows(client.query(sql).result(page_size=7))
    if way == "query_and_wait":
        return rows(client.query_and_wait(sql))
    if way == "parameters":
        config = bigquery.QueryJobConfig(query_parameters=[bigquery.ScalarQueryParameter("id", "INT64", 3)], labels={"team": "data"})
        return rows(client.query_and_wait(sql, job_config=config))
    if way == "dry_run":
        job = client.query(sql, job_config=bigquery.QueryJobConfig(dry_run=True))
        return {"bytes": job.total_bytes_processed, "columns": [f.name for f in job.schema]}
    if way == "to_arrow":
        return table(client.query(sql).to_arrow(create_bqstorage_client=False))
    if way == "to_dataframe":
        frame = client.query_and_wait(sql).to_dataframe(create_bqstorage_client=False)
        return {"rows": [[None if v is None or v is pandas.NA or v != v else plain(v) for v in row] for row in frame.itertuples(index=False)]}
    if way == "list_rows":  # sql is the name of a table
        return rows(client.list_rows(sql))
    if way == "list_rows_of_result":
        job = client.query(sql)
        schema = job.result().schema
        job.reload()
        return rows(client.list_rows(bigquery.Table(job.destination, schema=schema), page_size=7))
    if way == "metadata":
        return {
            "datasets": [d.dataset_id for d in client.list_datasets()],
            "tables": [t.table_id for t in client.list_tables(sql.split(".")[0])],
            "columns": [f.name for f in client.get_table(sql).schema],
        }
    if way == "cancel":
        job = client.query(sql)
        time.sleep(1)
        return {"cancelled": job.cancel(), "job": job.job_id, **attempt(lambda: rows(job.result()))}
    if way == "start":
        return {"job": client.query(sql).job_id}
    if way == "attach":
        return rows(client.get_job(job_id).result())
    raise SystemExit(f"client.py: no way {way!r}")


def attempt(call):
    try:
        return call()
    except exceptions.GoogleAPICallError as e:
        return {"error": str(e), "class": type(e).__name__}


if __name__ == "__main__":
    client = bigquery.Client(client_options=ClientOptions(api_endpoint=os.environ["BQGATE_REST"]))
    print(json.dumps(attempt(lambda: run(client, *(sys.argv[1:] + [None])[:3]))))
