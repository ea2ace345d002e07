import static org.apache.iceberg.types.Types.NestedField.optional;
import static org.apache.iceberg.types.Types.NestedField.required;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.iceberg.BaseTable;
import org.apache.iceberg.DataFile;
import org.apache.iceberg.PartitionSpec;
import org.apache.iceberg.Schema;
import org.apache.iceberg.SnapshotRef;
import org.apache.iceberg.Table;
import org.apache.iceberg.TableMetadata;
import org.apache.iceberg.TableMetadataParser;
import org.apache.iceberg.catalog.Namespace;
import org.apache.iceberg.catalog.TableCommit;
import org.apache.iceberg.catalog.TableIdentifier;
import org.apache.iceberg.data.GenericRecord;
import org.apache.iceberg.data.IcebergGenerics;
import org.apache.iceberg.data.Record;
import org.apache.iceberg.data.parquet.GenericParquetWriter;
import org.apache.iceberg.exceptions.CommitFailedException;
import org.apache.iceberg.expressions.Expressions;
import org.apache.iceberg.io.CloseableIterable;
import org.apache.iceberg.io.DataWriter;
import org.apache.iceberg.parquet.Parquet;
import org.apache.iceberg.rest.RESTCatalog;
import org.apache.iceberg.rest.RESTCatalogProperties;
import org.apache.iceberg.types.Types;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What a program in Java does with potok and Iceberg's suites don't try: rows, races, lazy snapshots, odd names. */
public class PotokClientTests {
  private static final Schema SCHEMA =
      new Schema(
          required(1, "id", Types.LongType.get()), optional(2, "name", Types.StringType.get()));
  private static final TableIdentifier TABLE = TableIdentifier.of("ns", "t");
  private static RESTCatalog catalog;

  @BeforeAll
  static void open() {
    catalog = PotokClient.open("potok", Map.of());
  }

  @BeforeEach
  void clear() {
    PotokClient.clear(catalog);
    catalog.createNamespace(Namespace.of("ns"));
  }

  @AfterAll
  static void close() throws Exception {
    catalog.close();
  }

  @Test
  void writesAndReadsRows() throws IOException {
    Table table = catalog.createTable(TABLE, SCHEMA);
    table.newAppend().appendFile(write(table, "a", 0, 100)).commit();
    table.newAppend().appendFile(write(table, "b", 100, 200)).commit();
    table.updateSchema().renameColumn("name", "label").commit();
    table.newDelete().deleteFromRowFilter(Expressions.lessThan("id", 100L)).commit();

    List<Long> found = new ArrayList<>();
    try (CloseableIterable<Record> rows =
        IcebergGenerics.read(catalog.loadTable(TABLE))
            .where(Expressions.lessThan("id", 103L))
            .build()) {
      for (Record row : rows) {
        assertThat(row.getField("label")).isEqualTo("row " + row.getField("id"));
        found.add((Long) row.getField("id"));
      }
    }
    assertThat(found).containsExactly(100L, 101L, 102L);
  }

  @Test
  void losesNoAppendOfManyWriters() throws Exception {
    catalog.createTable(TABLE, SCHEMA);
    int writers = 4;
    int appends = 5;
    ExecutorService threads = Executors.newFixedThreadPool(writers);
    try {
      List<Future<?>> running = new ArrayList<>();
      for (int writer = 0; writer < writers; writer++) {
        String name = "w" + writer;
        running.add(
            threads.submit(
                () -> {
                  Table own = PotokClient.open(name, Map.of()).loadTable(TABLE);
                  own.updateProperties().set("commit.retry.num-retries", "50").commit();
                  for (int i = 0; i < appends; i++) {
                    own.newFastAppend().appendFile(write(own, name + "-" + i, i, i + 1)).commit();
                  }
                  return null;
                }));
      }
      for (Future<?> one : running) one.get();
    } finally {
      threads.shutdownNow();
    }
    Table table = catalog.loadTable(TABLE);
    assertThat(table.snapshots()).hasSize(writers * appends);
    assertThat(table.currentSnapshot().summary())
        .containsEntry("total-data-files", String.valueOf(writers * appends));
  }

  @Test
  void loadsOldSnapshotsWhenTheyAreAskedFor() throws IOException {
    Table table = catalog.createTable(TABLE, SCHEMA);
    for (int i = 0; i < 3; i++) table.newAppend().appendFile(write(table, "f" + i, i, i + 1)).commit();
    RESTCatalog lazy =
        PotokClient.open("lazy", Map.of(RESTCatalogProperties.SNAPSHOT_LOADING_MODE, "REFS"));
    Table loaded = lazy.loadTable(TABLE);
    assertThat(loaded.refs()).containsOnlyKeys(SnapshotRef.MAIN_BRANCH);
    assertThat(loaded.currentSnapshot()).isEqualTo(table.currentSnapshot());
    assertThat(loaded.snapshots()).hasSize(3);
    // Answered by 304 once the client has it.
    assertThat(lazy.loadTable(TABLE).currentSnapshot()).isEqualTo(loaded.currentSnapshot());
  }

  @Test
  void commitsSeveralTablesOrNone() {
    List<TableCommit> commits = new ArrayList<>();
    for (String name : List.of("a", "b")) {
      Table table = catalog.createTable(TableIdentifier.of("ns", name), SCHEMA);
      TableMetadata base = ((BaseTable) table).operations().current();
      TableMetadata changed =
          TableMetadata.buildFrom(base)
              .addSchema(new Schema(optional(3, name, Types.IntegerType.get())))
              .setCurrentSchema(-1)
              .build();
      commits.add(TableCommit.create(TableIdentifier.of("ns", name), base, changed));
    }
    catalog.loadTable(TableIdentifier.of("ns", "b")).updateSchema().deleteColumn("name").commit();
    assertThatThrownBy(() -> catalog.commitTransaction(commits))
        .isInstanceOf(CommitFailedException.class)
        .hasMessageContaining("Requirement failed: current schema changed: expected id 0 != 1");
    assertThat(catalog.loadTable(TableIdentifier.of("ns", "a")).schemas()).hasSize(1);

    catalog.commitTransaction(commits.subList(0, 1));
    assertThat(catalog.loadTable(TableIdentifier.of("ns", "a")).schema().findField("a")).isNotNull();
  }

  @Test
  void takesNamesOfAllKinds() {
    Namespace odd = Namespace.of("ns", "a b+c%d/e.f", "ü🤪");
    catalog.createNamespace(odd);
    TableIdentifier name = TableIdentifier.of(odd, "t é+1/2 %");
    catalog.createTable(name, SCHEMA);
    assertThat(catalog.listTables(odd)).containsExactly(name);
    assertThat(catalog.loadTable(name).schema().asStruct()).isEqualTo(SCHEMA.asStruct());
    assertThat(catalog.namespaceExists(Namespace.of("ns", "a b+c%d/e.f"))).isTrue();
    assertThat(catalog.dropTable(name)).isTrue();
  }

  @Test
  void readsTablesOfFormatV3AndIsToldThatTheyCanNotBeChanged() {
    Table template = catalog.createTable(TABLE, SCHEMA);
    String location = template.location() + "-v3";
    TableMetadata metadata =
        TableMetadata.newTableMetadata(
            new Schema(required(1, "at", Types.TimestampNanoType.withZone())),
            PartitionSpec.unpartitioned(),
            location,
            Map.of("format-version", "3"));
    String file = location + "/metadata/v1.metadata.json";
    TableMetadataParser.write(metadata, template.io().newOutputFile(file));

    TableIdentifier later = TableIdentifier.of("ns", "v3");
    catalog.registerTable(later, file);
    Table table = catalog.loadTable(later);
    assertThat(((BaseTable) table).operations().current().formatVersion()).isEqualTo(3);
    assertThat(table.schema().asStruct()).isEqualTo(metadata.schema().asStruct());
    assertThat(catalog.listTables(Namespace.of("ns"))).containsExactlyInAnyOrder(TABLE, later);
    assertThatThrownBy(() -> table.updateProperties().set("a", "b").commit())
        .hasMessageContaining("Tables of format v3 can be read but not changed here");
    assertThatThrownBy(() -> template.updateProperties().set("format-version", "3").commit())
        .hasMessageContaining("Cannot upgrade table to unsupported format version: v3");
    assertThat(catalog.dropTable(later, false)).isTrue();
  }

  private static DataFile write(Table table, String name, long from, long to) throws IOException {
    String path = table.locationProvider().newDataLocation(name + ".parquet");
    DataWriter<Record> writer =
        Parquet.writeData(table.io().newOutputFile(path))
            .schema(table.schema())
            .withSpec(table.spec())
            .createWriterFunc(GenericParquetWriter::create)
            .build();
    try (writer) {
      for (long id = from; id < to; id++) {
        Record row = GenericRecord.create(table.schema());
        row.set(0, id);
        row.set(1, "row " + id);
        writer.write(row);
      }
    }
    return writer.toDataFile();
  }
}
