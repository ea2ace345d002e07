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

/** A table of the schema in `given`, in a catalog of this process. */
const freshTable = `
import sys, json, tempfile
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
given = json.load(sys.stdin)
folder = tempfile.TemporaryDirectory()
catalog = SqlCatalog('local', uri='sqlite:///:memory:', warehouse='file://' + folder.name)
catalog.create_namespace('ns')
def schema_of(wire): return Schema.model_validate_json(json.dumps(wire))
schema = schema_of(given['schema'])
spec = PartitionSpec.model_validate_json(json.dumps({'spec-id': 0, 'fields': given['spec']}))
table = catalog.create_table('ns.t', schema=schema, partition_spec=spec)
assert table.schema().fields == schema.fields, table.schema()
`

/** stdin: `{schema, spec, cases: [[change…]…]}`. Gives the schema after each sequence, or PyIceberg's refusal. */
export const evolveSchemas = `${freshTable}
def path(name): return tuple(name.split('.'))
def ask(update, change):
    op = change['op']
    if op == 'add':
        field_type = schema_of(change['type']).fields[0].field_type
        parent = path(change['parent']) if 'parent' in change else ()
        update.add_column(parent + (change['name'],), field_type, doc=change.get('doc'))
    elif op == 'delete': update.delete_column(path(change['name']))
    elif op == 'make optional': update.update_column(path(change['name']), required=False)
    elif op == 'rename': update.rename_column(path(change['name']), change['to'])
    elif op == 'change type':
        wrapped = {'type': 'struct', 'schema-id': 0, 'fields': [{'id': 1, 'name': 'w', 'required': False, 'type': change['type']}]}
        update.update_column(path(change['name']), field_type=schema_of(wrapped).fields[0].field_type)
    elif op == 'change doc': update.update_column(path(change['name']), doc=change['doc'])
    elif op == 'set identifier fields': update.set_identifier_fields(*change['names'])
    elif op == 'move first': update.move_first(path(change['name']))
    elif op == 'move before': update.move_before(path(change['name']), path(change['of']))
    elif op == 'move after': update.move_after(path(change['name']), path(change['of']))
    else: raise TypeError(op)
def evolved(changes):
    try:
        update = table.update_schema()
        for change in changes: ask(update, change)
        return json.loads(update._apply().model_dump_json())
    except ValueError as error:
        return str(error)
print(json.dumps([evolved(case) for case in given['cases']]))
`

/** stdin: `{schema, spec, cases}`. Gives the fields of the spec after each sequence, or the refusal. */
export const evolveSpecs = `${freshTable}
from pyiceberg.transforms import parse_transform
def evolved(changes):
    try:
        update = table.update_spec()
        for change in changes:
            if change['op'] == 'add': update.add_field(change['column'], parse_transform(change['transform']), change.get('name'))
            elif change['op'] == 'remove': update.remove_field(change['name'])
            else: update.rename_field(change['name'], change['to'])
        return [json.loads(field.model_dump_json()) for field in update._apply().fields]
    except ValueError as error:
        return str(error)
print(json.dumps([evolved(case) for case in given['cases']]))
`
