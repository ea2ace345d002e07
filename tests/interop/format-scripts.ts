/** What the outside judges run: Python, by its text. Big integers cross as strings, bytes as hex. */

/** Shared by the scripts: a value as JSON can hold it. */
const plain = `
import json, sys, decimal, uuid, datetime
from pyiceberg.manifest import DataFileContent, ManifestContent
def plain(v):
    if isinstance(v, bool) or v is None or isinstance(v, str): return v
    if isinstance(v, int): return str(v)
    if isinstance(v, float): return v
    if isinstance(v, (bytes, bytearray)): return v.hex()
    if isinstance(v, uuid.UUID): return v.bytes.hex()
    if isinstance(v, decimal.Decimal): return str(int(v.scaleb(-v.as_tuple().exponent)))
    if isinstance(v, datetime.datetime):
        return str((v.replace(tzinfo=datetime.timezone.utc) - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(microseconds=1))
    if isinstance(v, datetime.date): return str((v - datetime.date(1970, 1, 1)).days)
    raise TypeError(type(v))
def metrics(m):
    return None if m is None else {str(k): plain(v) for k, v in sorted(m.items())}
def entries_of(table):
    result = []
    snapshot = table.current_snapshot()
    for manifest in ([] if snapshot is None else snapshot.manifests(table.io)):
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False):
            f = entry.data_file
            result.append({
                'status': entry.status.name.lower(),
                'snapshot': str(entry.snapshot_id),
                'sequence': entry.sequence_number,
                'fileSequence': entry.file_sequence_number,
                'content': DataFileContent(f.content).name.lower().replace('_', '-'),
                'path': f.file_path,
                'format': f.file_format.name,
                'partition': [plain(f.partition[i]) for i in range(len(f.partition))],
                'rows': f.record_count,
                'bytes': f.file_size_in_bytes,
                'columnSizes': metrics(f.column_sizes),
                'valueCounts': metrics(f.value_counts),
                'nullValueCounts': metrics(f.null_value_counts),
                'nanValueCounts': metrics(f.nan_value_counts),
                'lowerBounds': metrics(f.lower_bounds),
                'upperBounds': metrics(f.upper_bounds),
                'sortOrder': f.sort_order_id,
            })
    return result
def manifests_of(table):
    return [{
        'path': m.manifest_path, 'length': m.manifest_length, 'spec': m.partition_spec_id,
        'content': ManifestContent(m.content).name.lower(), 'sequence': m.sequence_number, 'minSequence': m.min_sequence_number,
        'snapshot': str(m.added_snapshot_id), 'files': [m.added_files_count, m.existing_files_count, m.deleted_files_count],
        'rows': [m.added_rows_count, m.existing_rows_count, m.deleted_rows_count],
        'partitions': [[p.contains_null, plain(p.lower_bound), plain(p.upper_bound)] for p in m.partitions or []],
    } for m in table.current_snapshot().manifests(table.io)]
`

/** argv: metadata file. Gives entries, manifests and summary as PyIceberg reads them. */
export const readTable = `${plain}
from pyiceberg.table import StaticTable
table = StaticTable.from_metadata(sys.argv[1])
print(json.dumps({
    'entries': entries_of(table),
    'manifests': manifests_of(table),
    'summary': {'operation': table.current_snapshot().summary.operation.value, **table.current_snapshot().summary.additional_properties},
}))
`

/** argv: metadata file; stdin: JSON array of row filters. Gives rows and planned files of each. */
export const scanTable = `${plain}
import pyarrow.compute as pc
from pyiceberg.table import StaticTable
table = StaticTable.from_metadata(sys.argv[1])
result = []
for text in json.load(sys.stdin):
    scan = table.scan(row_filter=text)
    arrow = scan.to_arrow()
    result.append({
        'files': sorted(task.file.file_path for task in scan.plan_files()),
        'rows': arrow.num_rows,
        'offsets': str(pc.sum(arrow['log_offset']).as_py() or 0),
    })
print(json.dumps(result))
`

/** argv: folder, then metadata file. Gives rows, sums and types as DuckDB's own Iceberg reader sees them. */
export const duckDbScan = `
import json, sys, glob, os, duckdb
import duckdb_extension_avro, duckdb_extension_iceberg
connection = duckdb.connect()
for module in (duckdb_extension_avro, duckdb_extension_iceberg):
    [path] = glob.glob(os.path.join(os.path.dirname(module.__file__), 'extensions', '*', '*.duckdb_extension'))
    connection.execute(f"LOAD '{path}'")
connection.execute("SET TimeZone = 'UTC'")
source = f"iceberg_scan('{sys.argv[1]}')"
rows = connection.execute(f"SELECT count(*), sum(log_offset)::VARCHAR, count(DISTINCT event_id), count(plate_number) FROM {source}").fetchone()
one = connection.execute(f"SELECT count(*) FROM {source} WHERE kvfv_id = 'KV5' AND event_time >= TIMESTAMPTZ '2025-04-06 00:00:00Z'").fetchone()
types = dict((name, type) for name, type, *_ in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall())
print(json.dumps({'rows': rows, 'one': one[0], 'types': types}))
`

/**
 * argv: warehouse folder. Writes a table with PyIceberg's own writer: appends to several partitions, an
 * overwrite, a delete that rewrites a file. Gives the metadata file, the entries and what filters plan.
 */
export const writeTable = `${plain}
import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import DayTransform, IdentityTransform, MonthTransform
from pyiceberg.types import *
folder = sys.argv[1]
catalog = SqlCatalog('local', uri=f'sqlite:///{folder}/catalog.db', warehouse=f'file://{folder}')
catalog.create_namespace('traffic')
schema = Schema(
    NestedField(1, 'camera', StringType(), required=False),
    NestedField(2, 'at', TimestamptzType(), required=False),
    NestedField(3, 'speed', DoubleType(), required=False),
    NestedField(4, 'n', LongType(), required=False),
    NestedField(5, 'd', DateType(), required=False),
    NestedField(6, 'price', DecimalType(9, 2), required=False),
    NestedField(7, 'flag', BooleanType(), required=False),
    NestedField(8, 'tags', ListType(9, StringType(), element_required=False), required=False),
)
spec = PartitionSpec(
    PartitionField(2, 1000, DayTransform(), 'at_day'),
    PartitionField(1, 1001, IdentityTransform(), 'camera'),
    PartitionField(5, 1002, MonthTransform(), 'd_month'),
)
table = catalog.create_table('traffic.foreign', schema=schema, partition_spec=spec, properties=json.loads(sys.argv[2]))
arrow = schema.as_arrow()
def rows(start, count):
    utc = datetime.timezone.utc
    return pa.Table.from_pylist([{
        'camera': None if i % 11 == 0 else f'камера-с-длинным-именем-{i % 3}',
        'at': datetime.datetime(2025, 4, 5, tzinfo=utc) + datetime.timedelta(hours=i, microseconds=i),
        'speed': None if i % 7 == 0 else float('nan') if i % 13 == 0 else i / 3,
        'n': (1 << 60) + i,
        'd': datetime.date(1969, 12, 30) + datetime.timedelta(days=i),
        'price': decimal.Decimal(i - 30) / 4,
        'flag': i % 2 == 0,
        'tags': ['a', str(i)],
    } for i in range(start, start + count)], schema=arrow)
table.append(rows(0, 40))
table.append(rows(40, 30))
table.overwrite(rows(100, 5), overwrite_filter="camera == 'камера-с-длинным-именем-1'")
table.delete('n == ${(1n << 60n) + 6n}')
filters = json.load(sys.stdin)
print(json.dumps({
    'metadata': table.metadata_location,
    'entries': entries_of(table),
    'manifests': manifests_of(table),
    'planned': [sorted(task.file.file_path for task in table.scan(row_filter=text).plan_files()) for text in filters],
}))
`

/** argv: metadata file of a table with an identity partition of every type. Gives the partition values. */
export const readPartitions = `${plain}
from pyiceberg.table import StaticTable
table = StaticTable.from_metadata(sys.argv[1])
print(json.dumps([entry['partition'] for entry in entries_of(table)]))
`

/** stdin: JSON of [transform, type, value]. Gives what PyIceberg's transforms make of each. */
export const applyTransforms = `${plain}
from pyiceberg.transforms import parse_transform
from pyiceberg.types import *
types = {'int': IntegerType(), 'long': LongType(), 'string': StringType(), 'date': DateType(), 'timestamptz': TimestamptzType(), 'uuid': UUIDType(), 'binary': BinaryType(), 'decimal(9,2)': DecimalType(9, 2)}
result = []
for transform, kind, value in json.load(sys.stdin):
    if kind in ('int', 'long', 'date', 'timestamptz'): value = int(value)
    elif kind == 'uuid': value = uuid.UUID(value)
    elif kind == 'binary': value = bytes.fromhex(value)
    elif kind == 'decimal(9,2)': value = decimal.Decimal(value).scaleb(-2)
    result.append(plain(parse_transform(transform).transform(types[kind])(value)))
print(json.dumps(result))
`

/** stdin: JSON of [type, value]. Gives PyIceberg's single-value bytes, which it must also read back alike. */
export const singleValues = `${plain}
from pyiceberg.conversions import from_bytes, to_bytes
from pyiceberg.types import *
types = {'boolean': BooleanType(), 'int': IntegerType(), 'long': LongType(), 'double': DoubleType(), 'string': StringType(), 'date': DateType(), 'timestamptz': TimestamptzType(), 'uuid': UUIDType(), 'binary': BinaryType(), 'decimal(9,2)': DecimalType(9, 2)}
result = []
for kind, value in json.load(sys.stdin):
    if kind in ('int', 'long', 'date', 'timestamptz'): value = int(value)
    elif kind == 'uuid': value = uuid.UUID(value)
    elif kind == 'binary': value = bytes.fromhex(value)
    elif kind == 'decimal(9,2)': value = decimal.Decimal(value).scaleb(-2)
    result.append(to_bytes(types[kind], value).hex())
print(json.dumps(result))
`
