/** Python programs of `operations.test.ts`: rows of a table as PyIceberg and as DuckDB's extension read them. */

const plain = `
import sys, json, datetime, decimal, uuid, math
utc = datetime.timezone.utc
def plain(v):
    if isinstance(v, bool) or v is None or isinstance(v, str): return v
    if isinstance(v, int): return str(v)
    if isinstance(v, float): return 'NaN' if math.isnan(v) else repr(v)
    if isinstance(v, (bytes, bytearray)): return v.hex()
    if isinstance(v, uuid.UUID): return v.bytes.hex()
    if isinstance(v, decimal.Decimal): return str(v)
    if isinstance(v, datetime.datetime):
        v = v.replace(tzinfo=utc) if v.tzinfo is None else v.astimezone(utc)
        return str((v - datetime.datetime(1970, 1, 1, tzinfo=utc)) // datetime.timedelta(microseconds=1))
    if isinstance(v, datetime.date): return str((v - datetime.date(1970, 1, 1)).days)
    if isinstance(v, datetime.time): return str(((v.hour * 60 + v.minute) * 60 + v.second) * 1000000 + v.microsecond)
    if isinstance(v, dict): return {str(plain(k)): plain(x) for k, x in v.items()}
    # Arrow gives maps as lists of pairs.
    if isinstance(v, list) and v and all(isinstance(x, tuple) for x in v): return plain(dict(v))
    if isinstance(v, (list, tuple)): return [plain(x) for x in v]
    raise TypeError(type(v))
`

/** stdin: JSON of `[{metadata, snapshot, columns}]`, snapshot null for main. Rows of each in the order of `id`. */
export const pyIcebergRows = `${plain}
from pyiceberg.table import StaticTable
def rows_of(case):
    table = StaticTable.from_metadata(case['metadata'])
    scan = table.scan(snapshot_id=None if case['snapshot'] is None else int(case['snapshot']))
    rows = scan.to_arrow().to_pylist()
    rows.sort(key=lambda row: row['id'])
    return [[plain(row[name]) for name in case['columns']] for row in rows]
print(json.dumps([rows_of(case) for case in json.load(sys.stdin)]))
`

/** The same through DuckDB's Iceberg extension. */
export const duckDbRows = `${plain}
import glob, os, duckdb
import duckdb_extension_avro, duckdb_extension_iceberg
connection = duckdb.connect()
for module in (duckdb_extension_avro, duckdb_extension_iceberg):
    [path] = glob.glob(os.path.join(os.path.dirname(module.__file__), 'extensions', '*', '*.duckdb_extension'))
    connection.execute(f"LOAD '{path}'")
connection.execute("SET TimeZone = 'UTC'")
# Arrow has no UUIDs, DuckDB gives their text.
def texts(v): return v.replace('-', '') if isinstance(v, str) and len(v) == 36 and v[8] == v[13] == '-' else v
def rows_of(case):
    at = '' if case['snapshot'] is None else f", snapshot_from_id = {case['snapshot']}"
    names = ', '.join('"' + name + '"' for name in case['columns'])
    # By way of Arrow: fetchall() wants pytz for zoned times.
    table = connection.execute(f"SELECT {names} FROM iceberg_scan('{case['metadata']}'{at}) ORDER BY id").fetch_arrow_table()
    return [[texts(plain(row[name])) for name in case['columns']] for row in table.to_pylist()]
print(json.dumps([rows_of(case) for case in json.load(sys.stdin)]))
`
