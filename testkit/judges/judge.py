"""
The outside judges PyIceberg and DuckDB, one process for many questions: a JSON object a line on stdin, an answer
a line on stdout. Rows come in the canonical form of canonical-rows.ts.
"""
import datetime, decimal, glob, json, os, struct, sys, traceback, uuid

import duckdb
import duckdb_extension_avro
import duckdb_extension_httpfs
import duckdb_extension_iceberg
import pyarrow as pa
from pyiceberg import expressions as ex
from pyiceberg.catalog import load_catalog
from pyiceberg.table import StaticTable
from pyiceberg.types import FixedType


def canonical(array):
    """Values of an Arrow array, as canonical-rows.ts says."""
    if isinstance(array, pa.ChunkedArray):
        return [value for chunk in array.chunks for value in canonical(chunk)]
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        storage = array.storage
        return canonical(storage.cast(pa.bool_()) if kind.extension_name == 'arrow.bool8' else storage)
    if pa.types.is_dictionary(kind):
        return canonical(array.dictionary_decode())
    if pa.types.is_timestamp(kind):
        return texts(array.cast(pa.timestamp('us', kind.tz)).cast(pa.int64()))
    if pa.types.is_date32(kind):
        return texts(array.cast(pa.int32()))
    if pa.types.is_time(kind):
        return texts(array.cast(pa.time64('us')).cast(pa.int64()))
    if pa.types.is_integer(kind):
        return texts(array)
    if pa.types.is_float32(kind):
        return [bits('>f', value) for value in array.to_pylist()]
    if pa.types.is_float64(kind):
        return [bits('>d', value) for value in array.to_pylist()]
    if pa.types.is_decimal(kind):
        return [None if value is None else format(value, 'f') for value in array.to_pylist()]
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return [None if value is None else value.hex() for value in array.to_pylist()]
    if pa.types.is_map(kind):
        pairs = zip(canonical(array.keys), canonical(array.items))
        return [None if each is None else sorted(([k, v] for k, v in each), key=js_text) for each in slices(array, list(pairs))]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return slices(array, canonical(array.values))
    if pa.types.is_struct(kind):
        fields = [canonical(array.field(i)) for i in range(kind.num_fields)]
        valid = array.is_valid().to_pylist()
        return [{kind.field(i).name: fields[i][row] for i in range(kind.num_fields)} if valid[row] else None for row in range(len(array))]
    return array.to_pylist()


def texts(array):
    return [None if value is None else str(value) for value in array.to_pylist()]


def bits(form, value):
    return None if value is None else 'NaN' if value != value else struct.pack(form, value).hex()


def slices(array, values):
    offsets = array.offsets.to_pylist()
    valid = array.is_valid().to_pylist()
    return [values[offsets[i]:offsets[i + 1]] if valid[i] else None for i in range(len(array))]


def js_text(value):
    return json.dumps(value, ensure_ascii=False, separators=(',', ':')).encode('utf-16-be')


def rows_of(arrow):
    columns = [canonical(column) for column in arrow.columns]
    return [list(row) for row in zip(*columns)] if columns else []


operators = {
    '=': ex.EqualTo, '!=': ex.NotEqualTo, '<': ex.LessThan, '<=': ex.LessThanOrEqual, '>': ex.GreaterThan, '>=': ex.GreaterThanOrEqual,
}


def expression(case):
    column = '.'.join(case['path'])
    if case['op'] == 'is-null':
        return ex.IsNull(column)
    if case['op'] == 'not-null':
        return ex.NotNull(column)
    return operators[case['op']](column, literal_of(case['type'], case['value']))


def literal_of(kind, value):
    if kind in ('int', 'long', 'date', 'time', 'timestamp', 'timestamptz'):
        return int(value)
    if kind == 'float':
        return struct.unpack('>f', bytes.fromhex(value))[0]
    if kind == 'double':
        return struct.unpack('>d', bytes.fromhex(value))[0]
    if kind == 'uuid':
        return uuid.UUID(value)
    if kind == 'binary' or kind.startswith('fixed'):
        return bytes.fromhex(value)
    if kind.startswith('decimal'):
        return decimal.Decimal(value)
    return value


class Judges:
    def __init__(self):
        self.catalog = None
        self.duck = duckdb.connect(config={'autoinstall_known_extensions': 'false', 'autoload_known_extensions': 'false'})
        for module in (duckdb_extension_avro, duckdb_extension_httpfs, duckdb_extension_iceberg):
            [path] = glob.glob(os.path.join(os.path.dirname(module.__file__), 'extensions', '*', '*.duckdb_extension'))
            self.duck.execute(f"LOAD '{path}'")
        self.duck.execute("SET TimeZone = 'UTC'")
        self.duck.execute('SET arrow_lossless_conversion = true')
        self.duck.execute('SET threads = 1')

    def connect(self, uri, properties=None, duckdbSql=None):
        self.catalog = load_catalog('potok', type='rest', uri=uri, **(properties or {}))
        for statement in duckdbSql or []:
            self.duck.execute(statement)
        self.duck.execute('DETACH DATABASE IF EXISTS potok')
        self.duck.execute(f"ATTACH '' AS potok (TYPE iceberg, ENDPOINT '{uri}', AUTHORIZATION_TYPE 'none')")

    def table(self, table):
        return StaticTable.from_metadata(table['metadata']) if 'metadata' in table else self.catalog.load_table((*table['namespace'], table['name']))

    def duck_source(self, table):
        if 'metadata' in table:
            return f"iceberg_scan('{table['metadata'].removeprefix('file://')}')"
        name = table['name'].replace('"', '""')
        return f'potok."{".".join(table["namespace"])}"."{name}"'

    def pyiceberg(self, table, columns, filters=None, snapshotId=None):
        """Rows of a table; with `filters`, the rows of each."""
        loaded = self.table(table)
        snapshot = None if snapshotId is None else int(snapshotId)
        def scan(expr):
            arrow = loaded.scan(row_filter=expr, selected_fields=tuple(columns), snapshot_id=snapshot).to_arrow()
            return rows_of(arrow.select(columns))
        if filters is None:
            return scan(ex.AlwaysTrue())
        return [attempt(lambda: scan(expression(case))) for case in filters]

    def duckdb(self, table, columns, filters=None, at=''):
        """`filters` are SQL conditions."""
        names = ', '.join('"' + column.replace('"', '""') + '"' for column in columns)
        def select(condition):
            query = f'SELECT {names} FROM {self.duck_source(table)} {at} WHERE {condition}'
            return rows_of(self.duck.execute(query).to_arrow_table())
        if filters is None:
            return select('true')
        return [attempt(lambda: select(condition)) for condition in filters]

    def python(self, code):
        """Runs code with `catalog`, `duck` and `rows_of`; gives what it leaves in `result`."""
        scope = {'catalog': self.catalog, 'duck': self.duck, 'rows_of': rows_of, 'pa': pa, 'result': None}
        exec(code, scope)
        return scope['result']


def attempt(run):
    """One filter that a judge can't answer leaves the others their answers."""
    try:
        return run()
    except Exception as error:
        return f'{type(error).__name__}: {error}'[:300]


judges = Judges()
print(json.dumps({'ready': True}), flush=True)
for line in sys.stdin:
    question = json.loads(line)
    try:
        answer = {'ok': getattr(judges, question.pop('ask'))(**question)}
    except Exception:
        answer = {'error': traceback.format_exc()[-4000:]}
    print(json.dumps(answer), flush=True)
