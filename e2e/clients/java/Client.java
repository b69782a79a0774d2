import com.google.cloud.bigquery.*;
import com.google.cloud.bigquery.BigQuery.TableDataListOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Runs one query with the unmodified Java client, in the way that is named, and prints what a user of the library would see.
 *
 * <pre>java Client WAY SQL [JOB_ID]</pre>
 *
 * The gateway is the client's host; the credentials are the application default ones (GOOGLE_APPLICATION_CREDENTIALS). It prints one line of JSON: {"rows": [[…], …]}, {"error": "what
 * the exception says"}, and what else the way has to show.
 */
public class Client {
  public static void main(String[] args) throws Exception {
    BigQuery client =
        BigQueryOptions.newBuilder().setHost(System.getenv("BQGATE_REST")).setProjectId(System.getenv("GOOGLE_CLOUD_PROJECT")).build().getService();
    Map<String, Object> out = new LinkedHashMap<>();
    try {
      run(client, out, args[0], args[1], args.length > 2 ? args[2] : "");
    } catch (BigQueryException | JobException e) {
      out.put("error", e.getMessage());
    }
    System.out.println(json(out));
  }

  static void run(BigQuery client, Map<String, Object> out, String way, String sql, String id) throws Exception {
    QueryJobConfiguration config = QueryJobConfiguration.newBuilder(sql).build();
    switch (way) {
      case "query": // jobs.query
        out.put("rows", rows(client.query(config)));
        return;
      case "create_job": // jobs.insert
        Job job = client.create(JobInfo.of(config)).waitFor();
        if (job.getStatus().getError() != null) {
          throw new BigQueryException(0, job.getStatus().getError().getMessage(), job.getStatus().getError());
        }
        out.put("rows", rows(job.getQueryResults()));
        return;
      case "pages":
        out.put("rows", rows(client.create(JobInfo.of(config)).getQueryResults(BigQuery.QueryResultsOption.pageSize(7))));
        return;
      case "parameters":
        config = config.toBuilder().setNamedParameters(Map.of("id", QueryParameterValue.int64(3))).setLabels(Map.of("team", "data")).build();
        out.put("rows", rows(client.query(config)));
        return;
      case "dry_run":
        JobStatistics.QueryStatistics statistics = client.create(JobInfo.of(config.toBuilder().setDryRun(true).build())).getStatistics();
        out.put("bytes", statistics.getTotalBytesProcessed());
        out.put("columns", statistics.getSchema().getFields().stream().map(Field::getName).toList());
        return;
      case "list_rows": // sql is the name of a table
        out.put("rows", rows(client.listTableData(table(sql))));
        return;
      case "list_rows_of_result":
        Job done = client.create(JobInfo.of(config)).waitFor();
        TableId destination = ((QueryJobConfiguration) done.getConfiguration()).getDestinationTable();
        out.put("rows", rows(client.listTableData(destination, done.getQueryResults().getSchema(), TableDataListOption.pageSize(7))));
        return;
      case "metadata":
        out.put("datasets", names(client.listDatasets(System.getenv("GOOGLE_CLOUD_PROJECT")).iterateAll(), d -> d.getDatasetId().getDataset()));
        out.put("tables", names(client.listTables(table(sql).getDataset()).iterateAll(), t -> t.getTableId().getTable()));
        out.put("columns", client.getTable(table(sql)).getDefinition().getSchema().getFields().stream().map(Field::getName).toList());
        return;
      case "cancel":
        Job waiting = client.create(JobInfo.of(config));
        Thread.sleep(1000);
        out.put("job", waiting.getJobId().getJob());
        out.put("cancelled", waiting.cancel());
        out.put("rows", rows(waiting.getQueryResults()));
        return;
      case "start":
        out.put("job", client.create(JobInfo.of(config)).getJobId().getJob());
        return;
      case "attach":
        out.put("rows", rows(client.getJob(JobId.of(id)).getQueryResults()));
        return;
      default:
        throw new IllegalArgumentException("there is no way " + way);
    }
  }

  static TableId table(String name) {
    String[] parts = name.split("\\.");
    return TableId.of(parts[0], parts[1]);
  }

  static <T> List<Object> names(Iterable<T> all, java.util.function.Function<T, String> name) {
    List<Object> out = new ArrayList<>();
    all.forEach(one -> out.add(name.apply(one)));
    return out;
  }

  static List<Object> rows(TableResult result) {
    List<Object> all = new ArrayList<>();
    for (FieldValueList row : result.iterateAll()) {
      all.add(plain(row));
    }
    return all;
  }

  static Object plain(Object value) {
    if (value instanceof FieldValue) {
      return plain(((FieldValue) value).getValue());
    }
    if (value instanceof List) {
      List<Object> out = new ArrayList<>();
      ((List<?>) value).forEach(v -> out.add(plain(v)));
      return out;
    }
    return value;
  }

  static String json(Object value) {
    if (value instanceof Map) {
      List<String> parts = new ArrayList<>();
      ((Map<?, ?>) value).forEach((k, v) -> parts.add(json(k) + ": " + json(v)));
      return "{" + String.join(", ", parts) + "}";
    }
    if (value instanceof List) {
      List<String> parts = new ArrayList<>();
      ((List<?>) value).forEach(v -> parts.add(json(v)));
      return "[" + String.join(", ", parts) + "]";
    }
    if (value == null || value instanceof Boolean || value instanceof Number) {
      return String.valueOf(value);
    }
    return new com.google.gson.JsonPrimitive(value.toString()).toString();
  }
}
