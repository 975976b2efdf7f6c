"""Onward from Python: one file over the C API of libonward, by ctypes. Tensors are NumPy arrays.

    session = onward.Session("model.onnx")                      # or the folder of one
    [logits] = session.run(None, {"input_ids": ids, ...})       # as ONNX Runtime's InferenceSession
    tokenizer = onward.Tokenizer("tokenizer.json")
    for text in onward.Generator("folder").stream("Once upon a time"): print(text, end="")
    vectors = onward.Embedder("folder").embed(["a sentence", "another"])

Inputs are read where they lie when they are contiguous and of the model's type. Outputs are copies, which stay valid; Session.run
says how to do without. libonward is found by $ONWARD_LIBRARY, beside this file or around it, or where the system looks."""
import ctypes as C
import ctypes.util
import glob
import os
import queue
import threading

_HERE = os.path.dirname(os.path.abspath(__file__))


class OnwardError(RuntimeError):
    """What the library says; .status is its onward_status."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class _Error(C.Structure):
    _fields_ = [("status", C.c_int), ("message", C.c_char * 512)]


class _EncodeOptions(C.Structure):
    _fields_ = [("struct_size", C.c_size_t), ("add_special_tokens", C.c_bool), ("truncate", C.c_bool), ("pad", C.c_bool), ("max_length", C.c_int64)]


class _Tensor(C.Structure):
    _fields_ = [("dtype", C.c_int), ("rank", C.c_int32), ("dims", C.c_int64 * 12), ("data", C.c_void_p), ("bytes", C.c_size_t)]


class _NamedTensor(C.Structure):
    _fields_ = [("name", C.c_char_p), ("tensor", _Tensor)]


class _ValueInfo(C.Structure):
    _fields_ = [("name", C.c_char_p), ("dtype", C.c_int), ("rank", C.c_int32), ("dims", C.c_int64 * 12), ("dim_names", C.c_char_p * 12), ("kind", C.c_int)]


# Structs that the library fills or returns in memory have room behind them: a newer one may be longer.
class _ModelOptions(C.Structure):
    _fields_ = [("struct_size", C.c_size_t), ("precision", C.c_int), ("no_mmap", C.c_bool), ("no_passes", C.c_bool), ("reference", C.c_bool), ("_room", C.c_char * 1024)]


class _SessionOptions(C.Structure):
    _fields_ = [("struct_size", C.c_size_t), ("threads", C.c_int32), ("profile", C.c_bool)]


_ON_TOKEN = C.CFUNCTYPE(C.c_bool, C.c_void_p, C.c_int64)


class _GenerateOptions(C.Structure):
    _fields_ = [("struct_size", C.c_size_t), ("max_new_tokens", C.c_int64), ("context", C.c_int64), ("temperature", C.c_double), ("top_k", C.c_int64),
                ("top_p", C.c_double), ("min_p", C.c_double), ("repetition_penalty", C.c_double), ("no_repeat_ngram", C.c_int64), ("seed", C.c_uint64),
                ("stop_ids", C.POINTER(C.c_int64)), ("stop_id_count", C.c_size_t), ("forced_ids", C.POINTER(C.c_int64)), ("forced_id_count", C.c_size_t),
                ("on_token", _ON_TOKEN), ("on_token_context", C.c_void_p), ("beams", C.c_int64), ("length_penalty", C.c_double), ("_room", C.c_char * 256)]


class _Generation(C.Structure):
    _fields_ = [("ids", C.POINTER(C.c_int64)), ("count", C.c_size_t), ("stop", C.c_int), ("_room", C.c_char * 256)]


class _Encoding(C.Structure):
    _fields_ = [("ids", C.POINTER(C.c_int64)), ("type_ids", C.POINTER(C.c_int64)), ("attention_mask", C.POINTER(C.c_int64)), ("count", C.c_size_t)]


class _EmbedOptions(C.Structure):
    _fields_ = [("struct_size", C.c_size_t), ("pooling", C.c_int), ("batch", C.c_int64), ("max_length", C.c_int64), ("keep_length", C.c_bool)]


class _Embeddings(C.Structure):
    _fields_ = [("values", C.POINTER(C.c_float)), ("count", C.c_size_t), ("width", C.c_size_t), ("_room", C.c_char * 256)]


def _load():
    """$ONWARD_LIBRARY, or the library beside this file, in the build or installation around it, or where the system looks."""
    name = os.environ.get("ONWARD_LIBRARY")
    if name:
        return C.CDLL(name)
    # beside this file; installed (share/onward/python); in the source tree
    places = ["libonward.so*", "../../../lib*/libonward.so.0", "../../../lib/*/libonward.so.0", "../../build/libonward.so.0"]
    for path in [p for place in places for p in sorted(glob.glob(os.path.join(_HERE, place)))] + ["libonward.so.0", ctypes.util.find_library("onward")]:
        try:
            if path:
                return C.CDLL(path)
        except OSError:
            continue
    raise ImportError("libonward is not found: set ONWARD_LIBRARY to the path of libonward.so")


_lib = _load()


def _call(name, *args):
    """Calls a function that ends with an onward_error."""
    err = _Error()
    if getattr(_lib, name)(*args, C.byref(err)):
        raise OnwardError(err.status, err.message.decode(errors="replace"))


for _name, _result, _args in [
        ("onward_free", None, [C.c_void_p]), ("onward_version", C.c_char_p, []), ("onward_dtype_name", C.c_char_p, [C.c_int]),
        ("onward_model_options_default", _ModelOptions, []), ("onward_model_free", None, [C.c_void_p]),
        ("onward_model_input_count", C.c_size_t, [C.c_void_p]), ("onward_model_output_count", C.c_size_t, [C.c_void_p]),
        ("onward_session_free", None, [C.c_void_p]), ("onward_session_cancel", None, [C.c_void_p]),
        ("onward_tokenizer_free", None, [C.c_void_p]), ("onward_tokenizer_token_id", C.c_int64, [C.c_void_p, C.c_char_p]),
        ("onward_tokenizer_token", C.c_char_p, [C.c_void_p, C.c_int64]),
        ("onward_generate_options_default", _GenerateOptions, []), ("onward_generator_free", None, [C.c_void_p]), ("onward_generator_cancel", None, [C.c_void_p]),
        ("onward_stop_name", C.c_char_p, [C.c_int]), ("onward_token_stream_free", None, [C.c_void_p]), ("onward_embedder_free", None, [C.c_void_p])]:
    getattr(_lib, _name).restype, getattr(_lib, _name).argtypes = _result, _args

__version__ = _lib.onward_version().decode()

# NumPy's name and ONNX Runtime's, by onward_dtype; those with a dot need the package ml_dtypes.
_DTYPES = {1: ("float32", "float"), 2: ("uint8", "uint8"), 3: ("int8", "int8"), 4: ("uint16", "uint16"), 5: ("int16", "int16"), 6: ("int32", "int32"),
           7: ("int64", "int64"), 8: (None, "string"), 9: ("bool", "bool"), 10: ("float16", "float16"), 11: ("float64", "double"), 12: ("uint32", "uint32"),
           13: ("uint64", "uint64"), 14: ("complex64", "complex64"), 15: ("complex128", "complex128"), 16: (".bfloat16", "bfloat16"),
           17: (".float8_e4m3fn", "float8e4m3fn"), 18: (".float8_e4m3fnuz", "float8e4m3fnuz"), 19: (".float8_e5m2", "float8e5m2"), 20: (".float8_e5m2fnuz", "float8e5m2fnuz")}


def _numpy():
    import numpy
    return numpy


def _dtype(code):
    """NumPy's dtype; None without ml_dtypes; raises for what an array cannot hold."""
    name = _DTYPES.get(code, (None,))[0]
    if name is None:
        raise OnwardError(4, "tensors of %s have no NumPy array" % _lib.onward_dtype_name(code).decode())
    if not name.startswith("."):
        return _numpy().dtype(name)
    try:
        import ml_dtypes
        return _numpy().dtype(getattr(ml_dtypes, name[1:]))
    except ImportError:
        return None


def _code(dtype):
    for code, (name, _) in _DTYPES.items():
        if name and name.lstrip(".") == dtype.name:
            return code
    raise OnwardError(1, "arrays of %s are no tensors" % dtype)


def _strings(name, array):
    """A string tensor of an array of str or bytes, and what holds its text."""
    texts = []
    for i, item in enumerate(array.ravel().tolist()):
        if not isinstance(item, (str, bytes)):
            raise OnwardError(8, "input '%s': string %d is %s, want str or bytes" % (name, i, type(item).__name__))
        texts.append(item.encode("utf-8", "surrogateescape") if isinstance(item, str) else item)
        if b"\0" in texts[-1]:
            raise OnwardError(8, "input '%s': string %d has a NUL in it" % (name, i))
    pointers = (C.c_char_p * max(1, len(texts)))(*texts)
    return _Tensor(8, array.ndim, (C.c_int64 * 12)(*array.shape), C.cast(pointers, C.c_void_p), len(texts) * C.sizeof(C.c_char_p)), (pointers, texts)


def _input(name, value, info):
    """The value as a tensor, and what holds its bytes."""
    np = _numpy()
    array = np.asarray(value)
    if array.ndim > 12:
        raise OnwardError(8, "input '%s': rank %d is above 12" % (name, array.ndim))
    if array.dtype.kind in "OSU" or (info is not None and info.dtype == 8 and not array.size and not isinstance(value, np.ndarray)):
        tensor, array = _strings(name, array)
        return _NamedTensor(name.encode(), tensor), array
    if not isinstance(value, np.ndarray) and info is not None and info.dtype != 8 and _dtype(info.dtype) is not None:
        array = array.astype(_dtype(info.dtype))
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not array.flags.c_contiguous:
        array = np.array(array, order="C")
    tensor = _Tensor(_code(array.dtype), array.ndim, (C.c_int64 * 12)(*array.shape), array.ctypes.data, array.nbytes)
    return _NamedTensor(name.encode(), tensor), array


class NodeArg:
    """An input or output: name, shape (ints, names or None), type such as 'tensor(float)'."""

    def __init__(self, info):
        self.name, self.dtype = info.name.decode(), info.dtype
        self.shape = [info.dims[i] if info.dims[i] >= 0 else (info.dim_names[i] or b"").decode() or None for i in range(max(0, info.rank))]
        self.type = "tensor(%s)" % _DTYPES.get(info.dtype, (None, _lib.onward_dtype_name(info.dtype).decode()))[1]

    def __repr__(self):
        return "NodeArg(name=%r, type=%r, shape=%r)" % (self.name, self.type, self.shape)


class _Model:
    """A loaded model, shared by what is made of it. bytes: kept, as weights are used where they lie."""

    def __init__(self, source, no_mmap=False, no_passes=False, reference=False):
        self._handle = C.c_void_p()
        options = _lib.onward_model_options_default()
        options.no_mmap, options.no_passes, options.reference = no_mmap, no_passes, reference
        if isinstance(source, (bytes, bytearray, memoryview)):
            self._bytes = bytes(source)
            _call("onward_model_load_memory", self._bytes, C.c_size_t(len(self._bytes)), None, C.byref(options), C.byref(self._handle))
        else:
            _call("onward_model_load", os.fsencode(source), C.byref(options), C.byref(self._handle))

    def __del__(self):
        if getattr(self, "_handle", None):
            _lib.onward_model_free(self._handle)
            self._handle = None

    def values(self, kind):
        infos = []
        for i in range(getattr(_lib, "onward_model_%s_count" % kind)(self._handle)):
            info = _ValueInfo()
            _call("onward_model_" + kind, self._handle, C.c_size_t(i), C.byref(info))
            infos.append(NodeArg(info))
        return infos


class Session:
    """A model to run: a path, a folder that holds model.onnx, or the bytes of a file. One run at a time; several threads want a
    Session each: Session(other) shares the model and its weights."""

    def __init__(self, model, threads=0, **options):
        self._model = model._model if isinstance(model, Session) else _Model(model, **options)
        self._handle = C.c_void_p()
        self._inputs, self._outputs = self._model.values("input"), self._model.values("output")
        session_options = _SessionOptions(C.sizeof(_SessionOptions), threads)
        _call("onward_session_create", self._model._handle, C.byref(session_options), C.byref(self._handle))

    def __del__(self):
        if getattr(self, "_handle", None):
            _lib.onward_session_free(self._handle)
            self._handle = None

    def get_inputs(self):
        return list(self._inputs)

    def get_outputs(self):
        return list(self._outputs)

    def cancel(self):
        """Ends the run that goes on, from another thread."""
        _lib.onward_session_cancel(self._handle)

    def run(self, output_names, feed, run_options=None, copy=True, out=None):
        """The outputs of these names (None: all), as a list of arrays.

        Each is an array of its own. Strings are taken as arrays of str or bytes, and come as arrays of str objects. copy=False spares the copy: then they are read-only views of the session's memory, whose
        contents the next run changes: do not keep them beyond it. out: arrays by name that outputs are written into, without
        another copy. run_options is there for ONNX Runtime's sake and must be None."""
        if run_options is not None:
            raise OnwardError(1, "run_options must be None")
        names = list(output_names) if output_names else [o.name for o in self._outputs]
        infos, out = {i.name: i for i in self._inputs}, out or {}
        pairs = [_input(name, value, infos.get(name)) for name, value in feed.items()]
        inputs = (_NamedTensor * max(1, len(pairs)))(*[p[0] for p in pairs])
        outputs = (_NamedTensor * max(1, len(names)))()
        for slot, name in zip(outputs, names):
            slot.name = name.encode()
            if name in out:
                array = out[name]
                if array.dtype.kind in "OSU":
                    raise OnwardError(1, "out '%s': strings are not written into an array; they come as one of their own" % name)
                if not (array.flags.c_contiguous and array.flags.writeable and array.dtype.isnative):
                    raise OnwardError(1, "out '%s': want a contiguous, writable array" % name)
                slot.tensor.data, slot.tensor.bytes, slot.tensor.dtype = array.ctypes.data, array.nbytes, _code(array.dtype)
        _call("onward_session_run", self._handle, inputs, C.c_size_t(len(pairs)), outputs, C.c_size_t(len(names)), None)
        return [self._result(slot.tensor, out.get(name), name, copy) for slot, name in zip(outputs, names)]

    def _result(self, tensor, array, name, copy):
        np = _numpy()
        shape = tuple(tensor.dims[:tensor.rank])
        if array is not None:
            if tensor.dtype != _code(array.dtype):
                raise OnwardError(1, "out '%s': the output is %s, the array %s" % (name, _lib.onward_dtype_name(tensor.dtype).decode(), array.dtype))
            return array if array.shape == shape else array.reshape(-1)[:int(np.prod(shape))].reshape(shape)
        if tensor.dtype == 8:
            texts = np.empty(int(np.prod(shape)), object)
            if texts.size:
                texts[:] = [t.decode("utf-8", "surrogateescape") for t in (C.c_char_p * texts.size).from_address(tensor.data)]
            return texts.reshape(shape)
        dtype = _dtype(tensor.dtype)
        if tensor.bytes == 0 or not tensor.data:
            return np.zeros(shape, dtype or np.float32)
        memory = (C.c_uint8 * tensor.bytes).from_address(tensor.data)
        memory._session = self  # the array's base keeps the session alive
        if dtype is None and tensor.dtype == 16:  # no ml_dtypes: bfloat16 as float32, exactly
            return (np.frombuffer(memory, np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(shape)
        view = np.frombuffer(memory, dtype or np.uint8).reshape(shape)
        if copy:
            return view.copy()
        view.flags.writeable = False
        return view


class Encoding:
    """ids, type_ids and attention_mask: lists of int."""

    def __init__(self, raw):
        n = raw.count
        self.ids, self.type_ids, self.attention_mask = raw.ids[:n], raw.type_ids[:n], raw.attention_mask[:n]


class Tokenizer:
    """A tokenizer.json, or the folder that holds one."""

    def __init__(self, path):
        self._handle = C.c_void_p()
        path = os.fspath(path)
        if os.path.isdir(path):
            path = os.path.join(path, "tokenizer.json")
        _call("onward_tokenizer_load", os.fsencode(path), C.byref(self._handle))

    def __del__(self):
        if getattr(self, "_handle", None):
            _lib.onward_tokenizer_free(self._handle)
            self._handle = None

    def encode(self, text, pair=None, add_special_tokens=True, truncate=False, max_length=0, pad=False):
        """One text, or two. truncate and pad: the way the file says; max_length: in place of the file's."""
        options = _EncodeOptions(C.sizeof(_EncodeOptions), add_special_tokens, truncate or max_length > 0, pad, max_length)
        raw, first, second = _Encoding(), _bytes(text), None if pair is None else _bytes(pair)
        _call("onward_tokenizer_encode_pair", self._handle, first, C.c_size_t(len(first)), second, C.c_size_t(len(second or b"")), C.byref(options), C.byref(raw))
        try:
            return Encoding(raw)
        finally:
            _lib.onward_free(raw.ids)

    def decode(self, ids, skip_special_tokens=True):
        array, text, size = (C.c_int64 * max(1, len(ids)))(*ids), C.c_void_p(), C.c_size_t()
        _call("onward_tokenizer_decode", self._handle, array, C.c_size_t(len(ids)), C.c_bool(skip_special_tokens), C.byref(text), C.byref(size))
        try:
            return C.string_at(text, size.value).decode()
        finally:
            _lib.onward_free(text)

    def token_to_id(self, token):
        """None: no such token."""
        id = _lib.onward_tokenizer_token_id(self._handle, _bytes(token))
        return None if id < 0 else id

    def id_to_token(self, id):
        token = _lib.onward_tokenizer_token(self._handle, id)
        return None if token is None else token.decode()


def _bytes(text):
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


class Generator:
    """A decoder that goes on from a prompt: its folder (model.onnx, tokenizer.json), or a model and a Tokenizer."""

    def __init__(self, model, tokenizer=None, threads=0, **options):
        self._model = model._model if isinstance(model, Session) else _Model(model, **options)
        self._handle = C.c_void_p()
        self.tokenizer = tokenizer
        if tokenizer is None and not isinstance(model, Session) and os.path.exists(os.path.join(os.fspath(model), "tokenizer.json")):
            self.tokenizer = Tokenizer(model)
        session_options = _SessionOptions(C.sizeof(_SessionOptions), threads)
        _call("onward_generator_create", self._model._handle, C.byref(session_options), C.byref(self._handle))

    def __del__(self):
        if getattr(self, "_handle", None):
            _lib.onward_generator_free(self._handle)
            self._handle = None

    def generate_ids(self, prompt, on_token=None, **options):
        """The new ids after a prompt of ids. on_token(id) is called with each; False stops. options: those of
        onward_generate_options: max_new_tokens, temperature, top_k, top_p, min_p, seed, stop_ids, beams, ..."""
        o, result, problem, keep = _lib.onward_generate_options_default(), _Generation(), [], []
        known = {name for name, _ in _GenerateOptions._fields_} - {"struct_size", "on_token", "on_token_context", "_room", "stop_id_count", "forced_id_count"}
        for name, value in options.items():
            if name not in known:
                raise TypeError("no option %s; there are %s" % (name, ", ".join(sorted(known))))
            if name in ("stop_ids", "forced_ids"):
                keep.append((C.c_int64 * max(1, len(value)))(*value))
                setattr(o, name, C.cast(keep[-1], C.POINTER(C.c_int64)))
                setattr(o, name[:-1] + "_count", len(value))
            else:
                setattr(o, name, value)

        def call(context, id):
            try:
                return on_token(id) is not False
            except BaseException as e:  # noqa: B902  it must not end in C
                problem.append(e)
                return False
        if on_token is not None:
            o.on_token = _ON_TOKEN(call)
        ids = (C.c_int64 * max(1, len(prompt)))(*[int(i) for i in prompt])
        _call("onward_generator_run", self._handle, ids, C.c_size_t(len(prompt)), C.byref(o), C.byref(result))
        if problem:
            raise problem[0]
        return result.ids[:result.count]

    def stream(self, prompt, add_special_tokens=True, **options):
        """New text piece by piece, each valid UTF-8. Leaving the loop ends the generation."""
        tokenizer, pieces, stop = self.tokenizer, queue.Queue(), threading.Event()
        if tokenizer is None:
            raise OnwardError(1, "no tokenizer.json beside the model: pass a Tokenizer")
        ids = tokenizer.encode(prompt, add_special_tokens=add_special_tokens).ids

        def on_token(id):
            pieces.put(id)
            return not stop.is_set()

        def work():
            try:
                self.generate_ids(ids, on_token, **options)
                pieces.put(None)
            except BaseException as e:  # noqa: B902  raised by the one who reads
                pieces.put(e)
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        decoder = _TokenStream(tokenizer)
        try:
            while True:
                item = pieces.get()
                if isinstance(item, BaseException):
                    raise item
                text = decoder.finish() if item is None else decoder.push(item)
                if text:
                    yield text
                if item is None:
                    break
        finally:
            stop.set()
            if thread.is_alive():
                _lib.onward_generator_cancel(self._handle)
            thread.join()

    def generate(self, prompt, **options):
        return "".join(self.stream(prompt, **options))


class _TokenStream:
    def __init__(self, tokenizer):
        self._tokenizer, self._handle = tokenizer, C.c_void_p()
        _call("onward_token_stream_create", tokenizer._handle, C.c_bool(True), C.byref(self._handle))

    def __del__(self):
        if getattr(self, "_handle", None):
            _lib.onward_token_stream_free(self._handle)
            self._handle = None

    def push(self, id):
        text = C.c_char_p()
        _call("onward_token_stream_push", self._handle, C.c_int64(id), C.byref(text))
        return text.value.decode()

    def finish(self):
        text = C.c_char_p()
        _call("onward_token_stream_finish", self._handle, C.byref(text))
        return text.value.decode()


class Embedder:
    """Sentence vectors: an encoder's folder (model.onnx, tokenizer.json), or a model and a Tokenizer. pooling: "mean", "cls", or "auto":
    a sentence output that the model has, otherwise the mean. max_length 0: what tokenizer.json says."""
    _POOLING = {"auto": 0, "mean": 1, "cls": 2}

    def __init__(self, model, tokenizer=None, pooling="auto", normalize=True, max_length=0, batch=32, threads=0, **options):
        if pooling not in self._POOLING:
            raise OnwardError(1, "pooling is %r: want one of %s" % (pooling, ", ".join(self._POOLING)))
        self._model = model._model if isinstance(model, Session) else _Model(model, **options)
        self.tokenizer = tokenizer or Tokenizer(model)
        self._handle = C.c_void_p()
        session_options = _SessionOptions(C.sizeof(_SessionOptions), threads)
        o = _EmbedOptions(C.sizeof(_EmbedOptions), self._POOLING[pooling], batch, max_length, not normalize)
        _call("onward_embedder_create", self._model._handle, self.tokenizer._handle, C.byref(session_options), C.byref(o), C.byref(self._handle))

    def __del__(self):
        if getattr(self, "_handle", None):
            _lib.onward_embedder_free(self._handle)
            self._handle = None

    def embed(self, texts):
        """float32 [texts, width]. Texts of like length share a run."""
        np = _numpy()
        texts = [_bytes(t) for t in ([texts] if isinstance(texts, str) else texts)]
        if not texts:
            return np.zeros((0, 0), np.float32)
        result = _Embeddings()
        _call("onward_embedder_run", self._handle, (C.c_char_p * len(texts))(*texts), C.c_size_t(len(texts)), C.byref(result))
        try:
            return np.ctypeslib.as_array(result.values, (result.count, result.width)).copy()
        finally:
            _lib.onward_free(result.values)
