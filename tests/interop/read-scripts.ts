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
