#!/usr/bin/env python3
"""Usage: tests/models/gradient/make.py      (needs numpy, onnx, torch)

Writes the cases of this folder: graphs with Gradient nodes, and what PyTorch's autograd gives for them. PyTorch runs the graph
node by node; a Gradient runs it again from the values that it is fed. Dims of inputs are free, and data sets differ in them."""
import os
import shutil

import numpy as np
import onnx
import onnx.parser
import torch
from onnx import numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
DOMAIN = "ai.onnx.preview.training"
rng = np.random.default_rng(5)


def axes(a, x):
    return tuple(int(i) for i in x[1]) if len(x) > 1 else tuple(a["axes"]) if "axes" in a else None


def reduced(fn):
    def run(a, *x):
        over = axes(a, x)
        return fn(x[0], dim=tuple(range(x[0].dim())) if over is None else over, keepdim=bool(a.get("keepdims", 1)))
    return run


def unsqueezed(a, x, over):
    for i in sorted(int(i) for i in over):
        x = x.unsqueeze(i)
    return x


def gemm(a, x, w, c=None):
    y = a.get("alpha", 1.0) * (x.T if a.get("transA") else x) @ (w.T if a.get("transB") else w)
    return y if c is None else y + a.get("beta", 1.0) * c


OPS = {
    "Add": lambda a, x, y: x + y, "Sub": lambda a, x, y: x - y, "Mul": lambda a, x, y: x * y, "Div": lambda a, x, y: x / y,
    "Pow": lambda a, x, y: x ** y, "Sum": lambda a, *x: sum(x[1:], x[0]), "Where": lambda a, c, x, y: torch.where(c, x, y),
    "Neg": lambda a, x: -x, "Abs": lambda a, x: x.abs(), "Reciprocal": lambda a, x: 1 / x, "Exp": lambda a, x: x.exp(),
    "Log": lambda a, x: x.log(), "Sqrt": lambda a, x: x.sqrt(), "Sin": lambda a, x: x.sin(), "Cos": lambda a, x: x.cos(),
    "Tanh": lambda a, x: x.tanh(), "Sigmoid": lambda a, x: x.sigmoid(), "Relu": lambda a, x: x.relu(),
    "Softplus": lambda a, x: torch.nn.functional.softplus(x), "Erf": lambda a, x: x.erf(), "Sign": lambda a, x: x.sign(),
    "Floor": lambda a, x: x.floor(), "Ceil": lambda a, x: x.ceil(), "Round": lambda a, x: x.round(), "Identity": lambda a, x: x,
    "Cast": lambda a, x: x.to({1: torch.float32, 7: torch.int64, 11: torch.float64}[a["to"]]),
    "CastLike": lambda a, x, y: x.to(y.dtype), "Shape": lambda a, x: torch.tensor(x.shape),
    "Greater": lambda a, x, y: x > y, "Expand": lambda a, x, s: x.expand([int(i) for i in s]),
    "Reshape": lambda a, x, s: x.reshape([int(i) if i else x.shape[n] for n, i in enumerate(s)]),
    "Flatten": lambda a, x: x.flatten(1), "Squeeze": lambda a, x, i: x.squeeze(int(i[0])), "Unsqueeze": unsqueezed,
    "Transpose": lambda a, x: x.permute(list(a.get("perm", range(x.dim() - 1, -1, -1)))),
    "ReduceSum": reduced(torch.sum), "ReduceMean": reduced(torch.mean), "MatMul": lambda a, x, y: x @ y, "Gemm": gemm,
    "Softmax": lambda a, x: x.softmax(a.get("axis", -1)), "LogSoftmax": lambda a, x: x.log_softmax(a.get("axis", -1)),
}


class Run:
    """Values by name; roots: inputs, weights, and what a Gradient puts in place of the values that it names."""

    def __init__(self, graph, roots):
        self.graph, self.roots, self.known = graph, roots, {}

    def value(self, name):
        if name in self.roots:
            return self.roots[name]
        if name not in self.known:
            node = next(n for n in self.graph.node if name in n.output)
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            given = [self.value(i) for i in node.input]
            made = self.gradient(attributes, given) if node.domain == DOMAIN else [OPS[node.op_type](attributes, *given)]
            self.known.update(zip(node.output, made))
        return self.known[name]

    def gradient(self, attributes, given):
        xs = [s.decode() for s in attributes["xs"]]
        zs = [s.decode() for s in attributes.get("zs", [])]
        leaves = [v.clone() if v.requires_grad else v.clone().requires_grad_() for v in given]
        y = Run(self.graph, {**self.roots, **dict(zip(xs + zs, leaves))}).value(attributes["y"].decode())
        if not y.requires_grad:
            return [torch.zeros_like(v) for v in leaves[:len(xs)]]
        found = torch.autograd.grad(y.sum(), leaves[:len(xs)], create_graph=True, allow_unused=True)
        return [torch.zeros_like(v) if d is None else d for v, d in zip(leaves, found)]


def case(name, text, sets, weights=()):
    """sets: per data set {input: array}; weights: {name: array}"""
    graph = onnx.parser.parse_graph(text)
    weights = dict(weights)
    graph.initializer.extend(numpy_helper.from_array(w, n) for n, w in weights.items())
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid(DOMAIN, 1)],
                                   ir_version=8)
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    onnx.save(model, os.path.join(folder, "model.onnx"))
    for s, fed in enumerate(sets):
        constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        run = Run(graph, {n: torch.from_numpy(np.array(v)) for n, v in {**constants, **fed}.items()})
        data = os.path.join(folder, f"test_data_set_{s}")
        os.makedirs(data)
        for kind, values, names in (("input", fed.__getitem__, graph.input),
                                    ("output", lambda n: run.value(n).detach().numpy(), graph.output)):
            for i, info in enumerate(names):
                with open(os.path.join(data, f"{kind}_{i}.pb"), "wb") as out:
                    out.write(numpy_helper.from_array(np.array(values(info.name)), info.name).SerializeToString())


def f(*dims):
    return rng.standard_normal(dims).astype(np.float32)


def positive(*dims):
    return (rng.random(dims) + 0.5).astype(np.float32)


def gradient(xs, y, given=None, zs=()):
    quoted = ", ".join(f'"{x}"' for x in xs)
    rest = ", zs = [" + ", ".join(f'"{z}"' for z in zs) + "]" if zs else ""
    return f'{DOMAIN}.Gradient <xs = [{quoted}]{rest}, y = "{y}"> ({", ".join(given or [*xs, *zs])})'


def elementwise():
    """Each function and 2 x, times w, so that what comes from behind is not 1 and no derivative is 0."""
    body, outputs = [], []
    for op in ("Neg", "Abs", "Reciprocal", "Exp", "Log", "Sqrt", "Sin", "Cos", "Tanh", "Sigmoid", "Relu", "Softplus", "Erf",
               "Sign", "Floor", "Ceil", "Round", "Identity"):
        x = "p" if op in ("Log", "Sqrt", "Reciprocal") else "x"
        body.append(f"f_{op} = {op} ({x})  s_{op} = Sum (f_{op}, {x}, {x})  y_{op} = Mul (s_{op}, w)  d_{op} = {gradient([x], 'y_' + op)}")
        outputs.append(f"float[N, M] d_{op}")
    body.append(f"wide = Cast <to = 11> (x)  squared = Mul (wide, wide)  y_c = CastLike (squared, w)  d_Cast = {gradient(['x'], 'y_c')}")
    outputs.append("float[N, M] d_Cast")
    text = f"elementwise (float[N, M] x, float[N, M] p, float[N, M] w) => ({', '.join(outputs)}) {{ {' '.join(body)} }}"
    sets = [{"x": f(*d), "p": positive(*d), "w": f(*d)} for d in ((1, 7), (3, 4))]
    sets[1]["x"][0, 0] = 0.0  # Relu, Abs and Sign at their corner
    case("elementwise", text, sets)


def broadcast():
    """What a run repeats along an axis shows only then: K is M, or 1."""
    body, outputs = [], []
    for op in ("Add", "Sub", "Mul", "Div"):
        for i, b in enumerate(("b", "c", "s")):
            body.append(f"f_{op}{i} = {op} (a, {b})  y_{op}{i} = Mul (f_{op}{i}, w)  "
                        f"da_{op}{i}, db_{op}{i} = {gradient(['a', b], f'y_{op}{i}')}")
            outputs += [f"float[N, M] da_{op}{i}", f"float{('[K]', '[N, 1]', '')[i]} db_{op}{i}"]
    body.append("""y = Pow (b, e)  yi = Pow (a, i)  z = Where (over, b, c)  u = Sum (b, c, s)  v = Mul (u, w)  t = Expand (c, shape)
        r = Mul (t, w)""")
    for y, xs in (("y", "b"), ("yi", "a"), ("z", "bc"), ("v", "bcs"), ("r", "c")):
        body.append(f"{', '.join(f'd{x}_{y}' for x in xs)} = {gradient(list(xs), y)}")
        outputs += [f"float{dict(a='[N, M]', b='[K]', c='[N, 1]', s='')[x]} d{x}_{y}" for x in xs]
    text = f"""broadcast (float[N, M] a, float[K] b, float[N, 1] c, float s, float[N, M] w, float[N, M] e, bool[N, M] over,
        int64[2] shape) => ({', '.join(outputs)}) {{ i = Constant <value = int64[4] {{0, 1, 2, 3}}> () {' '.join(body)} }}"""
    sets = []
    for n, m, k in ((3, 4, 4), (2, 4, 1), (1, 4, 4)):
        sets.append({"a": f(n, m), "b": positive(k), "c": positive(n, 1), "s": positive()[()], "w": f(n, m), "e": f(n, m),
                     "over": rng.integers(0, 2, (n, m)).astype(bool), "shape": np.array([n, m])})
        sets[-1]["a"][0, :2] = 0.0  # 0 to the power of 0 and of 1
    OPS["Constant"] = lambda a: torch.from_numpy(np.array(numpy_helper.to_array(a["value"])))
    case("broadcast", text, sets)


def products():
    sets = [{"a": f(b, 3, 4), "b": f(4, n), "c": f(b, 4, 3), "v": f(4), "u": f(3), "w": f(b, 3, n)} for b, n in ((1, 1), (2, 5))]
    pairs = {"m": ("a", "b"), "bb": ("a", "c"), "av": ("a", "v"), "vb": ("v", "b"), "vv": ("v", "v2"), "ua": ("u", "a")}
    body = ["v2 = Add (v, v)"]
    outputs = []
    shape = {"a": "[B, 3, 4]", "b": "[4, N]", "c": "[B, 4, 3]", "v": "[4]", "v2": "[4]", "u": "[3]"}
    for name, (x, y) in pairs.items():
        body.append(f"p_{name} = MatMul ({x}, {y})  y_{name} = Sin (p_{name})  "
                    f"d0_{name}, d1_{name} = {gradient([x, y], 'y_' + name)}")
        outputs += [f"float{shape[x]} d0_{name}", f"float{shape[y]} d1_{name}"]
    body.append("x = Flatten (a)  xt = Transpose (x)  wt = Transpose <perm = [2, 0, 1]> (w)  q = Constant <value = float[12,2]"
                "{1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8}> ()  qt = Transpose (q)  "
                "bias = Constant <value = float[2] {1, 2}> ()")
    for i, (ta, tb) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        left, right = "xt" if ta else "x", "qt" if tb else "q"
        body.append(f"g{i} = Gemm <alpha = 0.5, beta = 1.5, transA = {ta}, transB = {tb}> ({left}, {right}, bias)  "
                    f"h{i} = Sigmoid (g{i})  dx{i}, dq{i}, db{i} = {gradient([left, right, 'bias'], f'h{i}')}")
        outputs += [f"float{'[12, B]' if ta else '[B, 12]'} dx{i}", f"float{'[2, 12]' if tb else '[12, 2]'} dq{i}", f"float[2] db{i}"]
    body.append(f"mean = ReduceMean <keepdims = 0> (wt)  sq = Mul (mean, mean)  dw = {gradient(['w'], 'sq')}")
    outputs.append("float[B, 3, N] dw")
    case("products", f"""products (float[B, 3, 4] a, float[4, N] b, float[B, 4, 3] c, float[4] v, float[3] u, float[B, 3, N] w)
        => ({', '.join(outputs)}) {{ {' '.join(body)} }}""", sets)


def along_axes():
    body, outputs = ["one = Constant <value = int64[1] {1}> ()  last = Constant <value = int64[2] {0, -1}> ()  "
                     "flat = Constant <value = int64[2] {0, -1}> ()"], []
    for name, text in (("sum", "ReduceSum <keepdims = 0> (x, one)"), ("sums", "ReduceSum (x, last)"), ("all", "ReduceSum (x)"),
                       ("mean", "ReduceMean <keepdims = 0> (x, last)"), ("means", "ReduceMean (x, one)"),
                       ("soft", "Softmax <axis = 1> (x)"), ("log", "LogSoftmax (x)"), ("view", "Reshape (x, flat)"),
                       ("turn", "Transpose <perm = [2, 0, 1]> (x)"), ("unsqueeze", "Unsqueeze (x, last)"),
                       ("squeeze", "Squeeze (s, one)")):
        x = "s" if name == "squeeze" else "x"
        body.append(f"f_{name} = {text}  y_{name} = Sin (f_{name})  d_{name} = {gradient([x], 'y_' + name)}")
        outputs.append(f"float[N, {'1' if x == 's' else '3'}, M] d_{name}")
    case("along_axes", f"along_axes (float[N, 3, M] x, float[N, 1, M] s) => ({', '.join(outputs)}) {{ {' '.join(body)} }}",
         [{"x": f(n, 3, m), "s": f(n, 1, m)} for n, m in ((1, 1), (2, 4))])


def elsewhere():
    """Values that are not those of the names, inner values, what y does not depend on, derivatives of derivatives."""
    text = f"""elsewhere (float[N, M] x, float[M] w, float[N, M] h1, float[M] k)
      => (float[N, M] y, float[N, M] dx, float[M] dw, float[N, M] dh, float[N, M] dh1, float[M] dw1, float[M] swapped,
          float[M] swapped2, float[M] both, float[M] both2, float[M] zero, float[N, M] one, float[M] last, float[N, M] dxx,
          float[M] dxw, float[N, M] third) {{
      h = Mul (x, w)  t = Tanh (h)  y = Mul (t, h)
      dx, dw = {gradient(["x", "w"], "y")}
      dh = {gradient(["h"], "y", zs=["w"])}
      dh1, none = {gradient(["h", "w"], "y", ["h1", "k"])}
      m = Mul (w, k)  e = Exp (w)  p = Mul (m, e)
      swapped, swapped2 = {gradient(["w", "k"], "p", ["k", "w"])}
      both, both2 = {gradient(["w", "k"], "p", ["e", "e"])}
      none2 = {gradient(["k"], "y")}
      dw1 = Add (none, k)  zero = Add (none2, k)
      one = {gradient(["y"], "y")}
      ,last = {gradient(["w", "k"], "p")}
      dxx, dxw = {gradient(["x", "w"], "dx")}
      third = {gradient(["x"], "dxx", zs=["w"])}
    }}"""
    text = text.replace("\n      ,last = ", "\n      unused, last = ")
    case("elsewhere", text, [{"x": f(n, m), "w": f(m), "h1": f(n, m), "k": f(m)} for n, m in ((1, 1), (2, 3))])


def block():
    """A transformer layer and its loss, by all weights."""
    d, heads, inner = 8, 2, 12
    weights = {"wq": f(d, d), "wk": f(d, d), "wv": f(d, d), "wo": f(d, d), "w1": f(d, inner), "b1": f(inner), "w2": f(inner, d),
               "gain": positive(d), "bias": f(d), "two": np.float32(2), "eps": np.float32(1e-5), "half": np.float32(0.5),
               "one": np.float32(1), "root": np.float32(np.sqrt(2)), "scale": np.float32(0.5),
               "split": np.array([0, 0, heads, d // heads]), "join": np.array([0, 0, d]), "last": np.array([-1])}
    trained = ["wq", "wk", "wv", "wo", "w1", "b1", "w2", "gain", "bias"]
    head = " ".join(f"{n}0 = MatMul (x, w{n})  {n}1 = Reshape ({n}0, split)  {n} = Transpose <perm = [0, 2, 1, 3]> ({n}1)" for n in "qkv")
    text = f"""block (float[B, S, {d}] x, float[B, S, {d}] goal) => (float loss, {', '.join(
        'float[' + ', '.join(str(n) for n in weights[t].shape) + '] d_' + t for t in trained)}) {{
      {head}
      kt = Transpose <perm = [0, 1, 3, 2]> (k)  scores = MatMul (q, kt)  scaled = Mul (scores, scale)  p = Softmax (scaled)
      mixed = MatMul (p, v)  back = Transpose <perm = [0, 2, 1, 3]> (mixed)  joined = Reshape (back, join)
      attended = MatMul (joined, wo)  r = Add (x, attended)
      mean = ReduceMean (r, last)  centred = Sub (r, mean)  squares = Pow (centred, two)  variance = ReduceMean (squares, last)
      safe = Add (variance, eps)  deviation = Sqrt (safe)  norm = Div (centred, deviation)  gained = Mul (norm, gain)
      n = Add (gained, bias)  up0 = MatMul (n, w1)  up = Add (up0, b1)
      by = Div (up, root)  erf = Erf (by)  more = Add (erf, one)  part = Mul (up, more)  gelu = Mul (part, half)
      down = MatMul (gelu, w2)  out = Add (r, down)  off = Sub (out, goal)  offs = Mul (off, off)
      loss = ReduceMean <keepdims = 0> (offs)
      {', '.join('d_' + t for t in trained)} = {gradient(trained, "loss")}
    }}"""
    case("block", text, [{"x": f(b, s, d), "goal": f(b, s, d)} for b, s in ((1, 1), (2, 5))], weights)


if __name__ == "__main__":
    elementwise()
    broadcast()
    products()
    along_axes()
    elsewhere()
    block()
