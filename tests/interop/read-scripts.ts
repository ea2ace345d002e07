/** Tables that PyIceberg makes for potok's reader to read, and what PyIceberg itself reads of them. */

/**
 * A value as text that is equal where the values are: the same function as `textOf` in `read-tables.test.ts`.
 * Rows are lists in the order of the schema.
 */
const prelude = `
import json, sys, os, glob, datetime as dt, decimal, uuid, random, math, shutil, struct
import pyarrow as pa, pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import StaticTable
from pyiceberg.transforms import *
from pyiceberg.types import *
folder = sys.argv[1]
catalog = SqlCatalog('local', uri=f'sqlite:///{folder}/catalog.db', warehouse=f'file://{folder}')
catalog.create_namespace_if_not_exists('n')
epoch = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
def text(v, kind):
    if v is None: return None
    if isinstance(kind, StructType): return [text(v[f.name], f.field_type) for f in kind.fields]
    if isinstance(kind, ListType): return [text(e, kind.element_type) for e in v]
    if isinstance(kind, MapType): return [[text(k, kind.key_type), text(e, kind.value_type)] for k, e in (v.items() if isinstance(v, dict) else v)]
    if isinstance(kind, BooleanType): return v
    if isinstance(kind, StringType): return v
    if isinstance(kind, (FloatType, DoubleType)): return 'NaN' if math.isnan(v) else struct.pack('>d', v).hex()
    if isinstance(kind, (BinaryType, FixedType)): return bytes(v).hex()
    if isinstance(kind, UUIDType): return (v if isinstance(v, uuid.UUID) else uuid.UUID(bytes=bytes(v))).bytes.hex()
    if isinstance(kind, DecimalType): return str(int(v.scaleb(kind.scale)))
    if isinstance(kind, (TimestampType, TimestamptzType)):
        return str(((v.replace(tzinfo=dt.timezone.utc) if v.tzinfo is None else v) - epoch) // dt.timedelta(microseconds=1))
    if isinstance(kind, TimeType): return str(((v.hour * 60 + v.minute) * 60 + v.second) * 1000000 + v.microsecond)
    if isinstance(kind, DateType): return str((v - dt.date(1970, 1, 1)).days)
    return str(v)
def rows(scan):
    schema = scan.projection()
    arrow = scan.to_arrow()
    return [[text(row[f.name], f.field_type) for f in schema.fields] for row in arrow.to_pylist()]
def answer(table, **scans):
    return {'metadata': table.metadata_location, 'scans': {name: rows(scan) for name, scan in ({'all': table.scan()} | scans).items()}}
results = {}
`

/** argv: folder. One table of every primitive type, then evolved in every way that PyIceberg offers. */
export const evolvedTables = `${prelude}
# Every type.
schema = Schema(
    NestedField(1, 'i', IntegerType()), NestedField(2, 'l', LongType()), NestedField(3, 'f', FloatType()),
    NestedField(4, 'd', DoubleType()), NestedField(5, 'dec', DecimalType(9, 2)), NestedField(6, 'dec38', DecimalType(38, 10)),
    NestedField(7, 'day', DateType()), NestedField(8, 'clock', TimeType()), NestedField(9, 'ts', TimestampType()),
    NestedField(10, 'tz', TimestamptzType()), NestedField(11, 's', StringType()), NestedField(12, 'u', UUIDType()),
    NestedField(13, 'fx', FixedType(5)), NestedField(14, 'bin', BinaryType()), NestedField(15, 'b', BooleanType()),
    NestedField(16, 'st', StructType(NestedField(17, 'x', IntegerType()), NestedField(18, 'y.z', StringType()))),
    NestedField(19, 'li', ListType(20, LongType(), element_required=False)),
    NestedField(21, 'mp', MapType(22, StringType(), 23, DoubleType(), value_required=False)),
    NestedField(24, 'deep', ListType(25, StructType(NestedField(26, 'k', StringType()), NestedField(27, 'vs', ListType(28, IntegerType(), element_required=False))), element_required=False)),
    NestedField(29, 'имя с пробелом', StringType()), NestedField(30, 'file_row_number', IntegerType()),
    NestedField(31, 'F', IntegerType()),
)
random.seed(7)
def maybe(make):
    return None if random.random() < 0.15 else make()
def one(i):
    return {
        'i': maybe(lambda: random.choice([-2**31, 2**31 - 1, 0, i])), 'l': maybe(lambda: random.choice([-2**63, 2**63 - 1, 2**53 + 1, i])),
        'f': maybe(lambda: random.choice([float('nan'), -0.0, 0.0, float('inf'), 1.5, i / 3])), 'd': maybe(lambda: random.choice([float('nan'), -0.0, 0.0, float('-inf'), 1e308, i / 3])),
        'dec': maybe(lambda: decimal.Decimal(random.randint(-999999999, 999999999)).scaleb(-2)),
        'dec38': maybe(lambda: decimal.Decimal(random.choice([10**37, -10**37, 5, i])).scaleb(-10)),
        'day': maybe(lambda: dt.date(1970, 1, 1) + dt.timedelta(days=random.randint(-719000, 2900000))),
        'clock': maybe(lambda: dt.time(random.randint(0, 23), 59, 59, random.randint(0, 999999))),
        'ts': maybe(lambda: dt.datetime(random.randint(1, 9998), 1, 2, 3, 4, 5, random.randint(0, 999999))),
        'tz': maybe(lambda: dt.datetime(random.randint(1, 9998), 1, 2, 3, 4, 5, random.randint(0, 999999), tzinfo=dt.timezone.utc)),
        's': maybe(lambda: random.choice(['', '\\ufeffb', 'a\\x00b', '😀' * 5, 'ж' * 40, 'x' * 12, f'v{i}', "o'k\\\\"])),
        'u': maybe(lambda: uuid.UUID(int=random.getrandbits(128)).bytes), 'fx': maybe(lambda: random.randbytes(5)), 'bin': maybe(lambda: random.randbytes(random.choice([0, 3, 12, 13, 50]))),
        'b': maybe(lambda: i % 2 == 0), 'st': maybe(lambda: {'x': maybe(lambda: i), 'y.z': maybe(lambda: f'y{i}')}),
        'li': maybe(lambda: [maybe(lambda: random.getrandbits(60)) for _ in range(random.randint(0, 4))]),
        'mp': maybe(lambda: [(f'k{j}', maybe(lambda: j / 7)) for j in range(random.randint(0, 3))]),
        'deep': maybe(lambda: [maybe(lambda: {'k': maybe(lambda: 'q'), 'vs': maybe(lambda: [1, None, i])}) for _ in range(random.randint(0, 3))]),
        'имя с пробелом': maybe(lambda: 'да'), 'file_row_number': i, 'F': -i,
    }
types = catalog.create_table('n.types', schema=schema)
types.append(pa.Table.from_pylist([one(i) for i in range(300)], schema=types.schema().as_arrow()))
types.append(pa.Table.from_pylist([one(i) for i in range(5000, 8000)], schema=types.schema().as_arrow()))
results['types'] = answer(types)

# Schema evolution, nested too, with files from before and after each step.
schema = Schema(
    NestedField(1, 'a', IntegerType()), NestedField(2, 'b', FloatType()), NestedField(3, 'c', DecimalType(5, 1)), NestedField(4, 'gone', StringType()),
    NestedField(5, 'st', StructType(NestedField(6, 'x', IntegerType()), NestedField(7, 'old', StringType()), NestedField(8, 'in', StructType(NestedField(9, 'p', FloatType()))))),
    NestedField(10, 'li', ListType(11, StructType(NestedField(12, 'q', IntegerType()), NestedField(13, 'r', StringType())), element_required=False)),
    NestedField(14, 'mp', MapType(15, StringType(), 16, StructType(NestedField(17, 'm', IntegerType())), value_required=False)),
    NestedField(18, 'nums', ListType(19, IntegerType(), element_required=False)),
)
def base(i):
    return {'a': i, 'b': i / 4, 'c': decimal.Decimal(i) / 10, 'gone': f'g{i}',
            'st': None if i % 5 == 0 else {'x': i, 'old': f'o{i}', 'in': None if i % 3 == 0 else {'p': i / 8}},
            'li': None if i % 4 == 0 else [{'q': i, 'r': f'r{i}'}, None, {'q': None, 'r': None}], 'mp': [(f'k{i}', {'m': i}), ('n', None)], 'nums': [i, None, -i]}
evolved = catalog.create_table('n.evolved', schema=schema)
evolved.append(pa.Table.from_pylist([base(i) for i in range(20)], schema=evolved.schema().as_arrow()))
first = evolved.current_snapshot().snapshot_id
with evolved.update_schema() as u:
    u.update_column('a', field_type=LongType())
    u.update_column('b', field_type=DoubleType())
    u.update_column('c', field_type=DecimalType(12, 1))
    u.update_column(('st', 'x'), field_type=LongType())
    u.update_column(('st', 'in', 'p'), field_type=DoubleType())
    u.update_column(('li', 'element', 'q'), field_type=LongType())
    u.update_column(('mp', 'value', 'm'), field_type=LongType())
    u.update_column(('nums', 'element'), field_type=LongType())
    u.rename_column('a', 'b2')
    u.rename_column(('st', 'old'), 'new.name')
    u.delete_column('gone')
    u.add_column('gone', LongType())
    u.add_column(('st', 'more'), StringType())
    u.add_column(('li', 'element', 'late'), ListType(1, StringType(), element_required=False))
    u.add_column(('mp', 'value', 'late'), TimestampType())
    u.add_column('fresh', StructType(NestedField(1, 'v', StringType())))
    u.move_first('c')
with evolved.update_schema() as u:
    u.move_first(('st', 'more'))
def later(i):
    return {'b2': 2**40 + i, 'b': i / 3, 'c': decimal.Decimal(10**9 + i) / 10, 'gone': i, 'fresh': {'v': f'f{i}'},
            'st': {'x': 2**40, 'new.name': 'n', 'in': {'p': 1e300}, 'more': 'm'}, 'li': [{'q': 2**40, 'r': 'r', 'late': ['l', None]}],
            'mp': [('k', {'m': 2**40, 'late': dt.datetime(2025, 1, 1, 0, 0, 0, 7)})], 'nums': [2**40]}
evolved.append(pa.Table.from_pylist([later(i) for i in range(20, 30)], schema=evolved.schema().as_arrow()))
results['evolved'] = answer(evolved,
    some=evolved.scan(selected_fields=('gone', 'st')), first=evolved.scan(snapshot_id=first),
    filtered=evolved.scan(row_filter="b2 >= 15 and b2 < 1099511627800"), widened=evolved.scan(row_filter='b > 1.1'), added=evolved.scan(row_filter='gone is null'))
results['evolved']['first'] = str(first)
print(json.dumps(results))
`

/** argv: folder. Partition evolution, copy-on-write deletes, branches and tags, format v1, files without ids. */
export const changedTables = `${prelude}
def when(i):
    return dt.datetime(1969, 12, 25, 1, 2, 3, 4, tzinfo=dt.timezone.utc) + dt.timedelta(hours=11 * i)
schema = Schema(NestedField(1, 'n', LongType()), NestedField(2, 'name', StringType()), NestedField(3, 'at', TimestamptzType()),
                NestedField(4, 'price', DecimalType(9, 2)), NestedField(5, 'v', DoubleType()), NestedField(6, 'day', DateType()))
def some(start, count):
    return pa.Table.from_pylist([{
        'n': i, 'name': None if i % 13 == 0 else f"имя/{i % 7}%", 'at': None if i % 17 == 0 else when(i), 'price': decimal.Decimal(i - 40) / 4,
        'v': [float('nan'), -0.0, 0.0, i / 3][i % 4], 'day': when(i).date()} for i in range(start, start + count)], schema=schema.as_arrow())
# By these PyIceberg (that is, pyarrow by the statistics of row groups) lets go of some rows with NaN and not of
# others. So all rows that it reads are judged here, by plain Python.
by_nan = {'v is nan': math.isnan, 'not (v > 3)': lambda v: not v > 3, 'v != 0': lambda v: v != 0}
filters = ["n >= 40 and n < 70", "name == 'имя/3%'", "name != 'имя/3%'", "name is null", "name like 'имя/2%'", "name not like 'имя/2%'",
           "at < '1970-01-01T00:00:00+00:00'", "at >= '1969-12-31T23:00:00+00:00' and at <= '1970-01-01T09:00:00+00:00'", "price < 0", "price in (0.25, 1.50)",
           "v == 0.0", "v > 3", "v < 0.5", "not (price > 3.00)", "v is not nan", "day == '1969-12-31'", "not (name == 'имя/1%' or n < 90)", "n not in (1, 2, 3) and name is not null"]
def changed(version):
    table = catalog.create_table(f'n.changed{version}', schema=schema, properties={'format-version': str(version), 'commit.manifest-merge.enabled': 'true', 'commit.manifest.min-count-to-merge': '3'})
    table.append(some(0, 30))
    steps = [table.current_snapshot()]
    # In v1 a removed field stays as void, and PyIceberg then wants no second field of the same source.
    again = [] if version == 1 else [('name', TruncateTransform(5)), ('at', HourTransform()), ('day', YearTransform()), ('n', TruncateTransform(7))]
    for field, transform in [('at', DayTransform()), ('name', IdentityTransform()), ('n', BucketTransform(4)), ('price', TruncateTransform(100)), ('day', MonthTransform())] + again:
        with table.update_spec() as u:
            for old in table.spec().fields: u.remove_field(old.name)
            u.add_field(field, transform, f'p{len(table.specs())}')
        table.append(some(30 + 15 * len(steps), 15))
        steps.append(table.current_snapshot())
    table.manage_snapshots().create_tag(steps[2].snapshot_id, 'early').create_branch(steps[4].snapshot_id, 'side').commit()
    with table.update_schema() as u:
        u.rename_column('name', 'title')
        u.add_column('extra', StringType())
    table.delete('n >= 50 and n < 60')
    table.overwrite(pa.Table.from_pylist([{'n': 1000 + i, 'title': 'new', 'extra': f'e{i}'} for i in range(5)], schema=table.schema().as_arrow()), overwrite_filter='n < 5')
    table.append(pa.Table.from_pylist([{'n': 2000, 'title': 'b', 'extra': 'side'}], schema=table.schema().as_arrow()), branch='side')
    made = answer(table, **{'tag': table.scan(snapshot_id=steps[2].snapshot_id), 'side': table.scan().use_ref('side')},
        **{f'filter {i}': table.scan(row_filter=f) for i, f in enumerate(results['filters'][:len(filters)])})
    for i, holds in enumerate(by_nan.values()):
        number = lambda row: math.nan if row[4] == 'NaN' else struct.unpack('>d', bytes.fromhex(row[4]))[0]
        made['scans'][f'filter {len(filters) + i}'] = [row for row in made['scans']['all'] if row[4] is not None and holds(number(row))]
    made['asOf'] = [[s.timestamp_ms, len(table.scan(snapshot_id=s.snapshot_id).to_arrow())] for s in steps]
    return made
results['filters'] = [f.replace('name', 'title') for f in filters] + list(by_nan)
results['v1'] = changed(1)
results['v2'] = changed(2)

# Files that engines without Iceberg wrote, added by name.
loose = catalog.create_table('n.loose', schema=Schema(
    NestedField(1, 'a', IntegerType()), NestedField(2, 'st', StructType(NestedField(3, 'x.y', IntegerType()), NestedField(4, 'z', StringType()))),
    NestedField(5, 'li', ListType(6, StructType(NestedField(7, 'q', IntegerType())), element_required=False)), NestedField(8, 'mp', MapType(9, StringType(), 10, LongType(), value_required=False)), NestedField(11, 'ts', TimestampType())))
kinds = pa.schema([('mp', pa.map_(pa.string(), pa.int64())), ('li', pa.list_(pa.struct([('q', pa.int32())]))), ('st', pa.struct([('z', pa.string()), ('x.y', pa.int32())])), ('a', pa.int32()), ('ts', pa.timestamp('us'))])
def loosely(start):
    return pa.Table.from_pylist([{'a': i, 'st': None if i % 3 == 0 else {'x.y': i, 'z': f'z{i}'}, 'li': [{'q': i}, None], 'mp': [('k', i)], 'ts': dt.datetime(2020, 1, 1, 0, 0, 0, i)} for i in range(start, start + 10)], schema=kinds)
pq.write_table(loosely(0), f'{folder}/[x] a*.parquet')
loose.add_files([f'file://{folder}/[x] a*.parquet'])
with loose.update_schema() as u:
    u.update_column('a', field_type=LongType())
    u.rename_column('a', 'number')
    u.rename_column(('st', 'z'), 'zed')
    u.add_column('late', StringType())
renamed = pa.schema([('mp', pa.map_(pa.string(), pa.int64())), ('st', pa.struct([('zed', pa.string()), ('x.y', pa.int32())])), ('number', pa.int64())])
pq.write_table(pa.Table.from_pylist([{'number': 2**40 + i, 'st': {'zed': 'z', 'x.y': i}, 'mp': []} for i in range(10)], schema=renamed), f'{folder}/b.parquet')
loose.add_files([f'file://{folder}/b.parquet'])
results['loose'] = answer(loose, some=loose.scan(row_filter='number > 5', selected_fields=('number', 'late')))
print(json.dumps(results))
`

/**
 * argv: folder. Parquet files as old writers laid lists out, and other oddities. Nothing at hand writes them any
 * more, so the schema in the footer of new files is cut to the old form, in which the same bytes of data mean
 * the same rows; pyarrow reads them, too.
 */
export const oddFiles = `${prelude}
def string(text):
    return bytes([0x18, len(text)]) + text.encode()
repeated_list = b'\\x35\\x04' + string('list') + b'\\x15\\x02\\x00'
def rewrite(path, change):
    data = open(path, 'rb').read()
    length = int.from_bytes(data[-8:-4], 'little')
    footer = change(data[-8 - length:-8])
    open(path, 'wb').write(data[:-8 - length] + footer + len(footer).to_bytes(4, 'little') + b'PAR1')
def replaced(footer, old, new):
    assert footer.count(old) == 1, (old, footer)
    return footer.replace(old, new)
def without_list(footer):
    at = footer.index(b'\\x19', 2)
    count = (footer[at + 1] >> 4) - 1
    return replaced(footer[:at + 1] + bytes([count << 4 | 0xc]) + footer[at + 2:], repeated_list, b'')
required_group = b'\\x35\\x00' + string('element')
def group_called(name):
    return lambda footer: replaced(without_list(footer), required_group, b'\\x35\\x04' + string(name))
layouts = {
    'bag': (pa.list_(pa.int32()), lambda f: replaced(replaced(f, repeated_list, repeated_list.replace(string('list'), string('bag'))), b'\\x25\\x02' + string('element'), b'\\x25\\x02' + string('array_element'))),
    'two_level': (pa.list_(pa.field('element', pa.int32(), nullable=False)), lambda f: replaced(without_list(f), b'\\x25\\x00' + string('element'), b'\\x25\\x04' + string('array'))),
    'array_of_one': (pa.list_(pa.field('element', pa.struct([('q', pa.int32())]), nullable=False)), group_called('array')),
    'tuple_of_one': (pa.list_(pa.field('element', pa.struct([('q', pa.int32())]), nullable=False)), group_called('tuple_of_one_tuple')),
    'group_of_two': (pa.list_(pa.field('element', pa.struct([('q', pa.int32()), ('r', pa.string())]), nullable=False)), group_called('thing')),
}
for name, (kind, change) in layouts.items():
    one = kind.value_type
    value = (lambda i: i) if one == pa.int32() else (lambda i: {f.name: (None if i % 3 == 0 else i if f.type == pa.int32() else f's{i}') for f in one})
    rows_of = [{'n': i, name: None if i % 5 == 0 else [value(i + j) for j in range(i % 4)]} for i in range(20)]
    path = f'{folder}/{name}.parquet'
    pq.write_table(pa.Table.from_pylist(rows_of, schema=pa.schema([('n', pa.int64()), (name, kind)])), path, store_schema=False)
    rewrite(path, change)
    assert pq.read_table(path).to_pylist() == rows_of
    element = IntegerType() if one == pa.int32() else StructType(*[NestedField(4 + i, f.name, IntegerType() if f.type == pa.int32() else StringType()) for i, f in enumerate(one)])
    table = catalog.create_table(f'n.{name}', schema=Schema(NestedField(1, 'n', LongType()), NestedField(2, name, ListType(3, element, element_required=False))))
    table.append(pa.Table.from_pylist([{'n': 100, name: [value(1)]}], schema=table.schema().as_arrow()))
    table.add_files([f'file://{path}'])
    results[name] = {'metadata': table.metadata_location, 'scans': {'all': [[text(row[f.name], f.field_type) for f in table.schema().fields] for row in rows_of + [{'n': 100, name: [value(1)]}]]}}

# Instants as Impala and old Spark wrote them, narrow and unsigned integers, dictionaries, an uuid without its annotation.
pq.write_table(pa.table({'old': pa.array([dt.datetime(1900, 1, 1, 0, 0, 0, 1), dt.datetime(2020, 2, 29, 23, 59, 59, 999999), None], pa.timestamp('us')),
    'tiny': pa.array([-128, 127, None], pa.int8()), 'small': pa.array([0, 65535, 1], pa.uint16()), 'wide': pa.array([0, 2**32 - 1, 1], pa.uint32()),
    'milli': pa.array([-1, 1, None], pa.timestamp('ms')), 'word': pa.array(['a', None, 'a']).dictionary_encode(), 'id': pa.array([bytes(range(16)), None, b'z' * 16], pa.binary(16)),
    'bytes': pa.array([b'\\xd0\\xb6', b'', None], pa.binary()), 'zone': pa.array([5, -5, None], pa.timestamp('us', 'Europe/Berlin'))}),
    f'{folder}/odd.parquet', use_deprecated_int96_timestamps=False, store_schema=False)
pq.write_table(pa.table({'old': pa.array([dt.datetime(1900, 1, 1, 0, 0, 0, 1), dt.datetime(2020, 2, 29, 23, 59, 59, 999999), None], pa.timestamp('us'))}), f'{folder}/int96.parquet', use_deprecated_int96_timestamps=True)
print(json.dumps(results))
`

/** argv: metadata file. What DuckDB's own Iceberg reader makes of a table with deletes. */
export const duckDbRows = `
import json, sys, glob, os, duckdb
import duckdb_extension_avro, duckdb_extension_iceberg
connection = duckdb.connect()
for module in (duckdb_extension_avro, duckdb_extension_iceberg):
    [path] = glob.glob(os.path.join(os.path.dirname(module.__file__), 'extensions', '*', '*.duckdb_extension'))
    connection.execute(f"LOAD '{path}'")
print(json.dumps([[str(v) if isinstance(v, int) else v for v in row] for row in connection.execute(f"SELECT * FROM iceberg_scan('{sys.argv[1]}')").fetchall()]))
`
