// Prints pairs of a JSON text and what JavaScript makes of it: [{"input": "…", "expected": "…"}, …].
//
//   node record.js edges              the spellings that are easy to get wrong, by hand
//   node record.js SEED COUNT         generated documents; the same seed gives the same ones
//
// edges.json and generated.json beside this file are its recorded output:
//   node record.js edges > edges.json && node record.js 1 100 > generated.json
'use strict';

const EDGES = [
  '{}', '[]', ' { } ', '{"":""}', '{"a":{"a":{"a":[[],[{}]]}}}',
  '[0,-0,0.0,-0.0,0e5,-0E-5,1.0,1.50,10e-1,1E3,1e+3,100,1.10e1]',
  '[1e20,1e21,1e22,123456789012345680000.0,999999999999999900000.0,999999999999999999999.9]',
  '[1e-5,1e-6,1e-7,0.000001,0.0000001,0.00000123456789,123e-20]',
  '[5e-324,4.9406564584124654e-324,2e-324,1e-400,2.2250738585072014e-308,2.2250738585072011e-308,1.7976931348623157e308]',
  '[9007199254740991,9007199254740992,-9007199254740992,9007199254740993.0,4.35,0.1,0.2,0.30000000000000004]',
  '[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001,9.999999999999997e22,295147905179352830000.0]',
  '[8.41e21,2.98023223876953125e-8,9.0608011534336e15,0.1000000000000000055511151231257827,1.00000000000000011102230246251565]',
  '[1.00000000000000011102230246251565404236316680908203125,1.00000000000000011102230246251565404236316680908203124]',
  '[true,false,null]',
  '{"b":1,"a":2,"10":3,"9":4,"0":5}', '{"01":1,"1":2,"-1":3,"1.0":4,"1e1":5," 1":6,"+1":7}',
  '{"z":0,"4294967293":1,"4294967294":2,"4294967295":3,"4294967296":4,"9007199254740993":5,"99999999999999999999":6}',
  '{"a":1,"b":2,"a":3}', '{"a":1,"\\u0061":2}', '{"1":1,"a":0,"\\u0031":2}', '{"a":{"x":1},"b":0,"a":{"y":2}}',
  '{"__proto__":{"a":1},"constructor":2,"toString":3,"toJSON":4,"length":5}',
  '{"a":"\\"\\\\\\/\\b\\f\\n\\r\\t"}', '"\\u0000\\u0001\\u001f\\u0020\\u007f\\u0080\\u2028\\u2029\\ufeff\\uffff"',
  '"\\u00E9\\u00e9é\\ud83d\\ude00\\uD83D\\uDE00😀"', '{"\\n":"\\u000a","\\u0022":"\\u005c"}', '"/ <script> &amp; \u2028"',
  '{"owner":"DRVR","marketSymbol":"SOL-PERP","side":"long","sizeUsd":15000.50,"leverage":5.2,"entryPrice":185.42}',
  '\t{"a" :\r\n[ 1 , 2 ] }\n',
];

/** mulberry32: small, and the same on every machine. */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function documents(seed, count) {
  const random = generator(seed);
  const below = (n) => Math.floor(random() * n);
  const pick = (...options) => options[below(options.length)]();
  const hex = (unit) => {
    const digits = unit.toString(16).padStart(4, '0');
    return '\\u' + (below(2) ? digits : digits.toUpperCase());
  };
  const character = () =>
    pick(
      () => String.fromCharCode(97 + below(26)),
      () => pick(...['\\"', '\\\\', '\\/', '\\b', '\\f', '\\n', '\\r', '\\t'].map((escape) => () => escape)),
      () => hex(below(0x100)),
      () => hex(below(0xd800)),
      () => hex(0xd800 + below(0x400)) + hex(0xdc00 + below(0x400)),
      () => String.fromCodePoint(0xa0 + below(0xd000)),
      () => String.fromCodePoint(0x10000 + below(0x10000)),
    );
  const string = () => '"' + Array.from({ length: below(8) }, character).join('') + '"';
  const double = () => {
    const view = new DataView(new ArrayBuffer(8));
    for (;;) {
      view.setUint32(0, below(2 ** 32));
      view.setUint32(4, below(2 ** 32));
      // Up to 1e308: near the end of the range, printing with few digits would round up to infinity.
      if (Math.abs(view.getFloat64(0)) < 1e308) return view.getFloat64(0);
    }
  };
  const number = () =>
    pick(
      () => String(below(2 ** 20)),
      () => String((below(2) ? 1 : -1) * (below(2 ** 21) * 2 ** 32 + below(2 ** 32))),
      () => double().toExponential(),
      () => double().toExponential(below(100)).replace('e', below(2) ? 'e' : 'E'),
      () => (random() * 10 ** below(12)).toFixed(1 + below(12)),
      () => (random() * 10 ** -below(12)).toFixed(20) + '0'.repeat(below(20)),
      () => `${below(10) ? '' : '-'}${below(1000)}.${below(1000)}e${below(50) - 25}`,
    );
  const key = () =>
    pick(string, () => `"${below(20)}"`, () => `"${below(2 ** 32) + below(100)}"`, () => `"${'abcdef'[below(6)]}"`);
  const blank = () => pick(...['', '', '', ' ', '\n', '\t', '\r\n '].map((space) => () => space));
  const list = (open, close, length, item) =>
    open + blank() + Array.from({ length }, () => item() + blank()).join(',' + blank()) + close;
  const value = (depth) => {
    if (depth === 0 || below(3) === 0) {
      return pick(string, number, number, () => 'true', () => 'false', () => 'null');
    }
    return below(3) === 0
      ? list('[', ']', below(6), () => value(depth - 1))
      : object(depth - 1, below(6));
  };
  const object = (depth, length) => list('{', '}', length, () => key() + blank() + ':' + blank() + value(depth));
  return Array.from({ length: count }, () => object(3, below(10) ? below(6) : 20 + below(20)));
}

const [first, count] = process.argv.slice(2);
const inputs = first === 'edges' ? EDGES : documents(Number(first), Number(count));
const lines = inputs.map((input) => JSON.stringify({ input, expected: JSON.stringify(JSON.parse(input)) }));
process.stdout.write('[\n' + lines.join(',\n') + '\n]\n');
