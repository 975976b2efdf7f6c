"""Onward from Python: one file over the C API of libonward, by ctypes."""
import ctypes as C
import ctypes.util
import os

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


class _Encoding(C.Structure):
    _fields_ = [("ids", C.POINTER(C.c_int64)), ("type_ids", C.POINTER(C.c_int64)), ("attention_mask", C.POINTER(C.c_int64)), ("count", C.c_size_t)]


def _load():
    """$ONWARD_LIBRARY, or the library beside this file, in the build or installation around it, or where the system looks."""
    name = os.environ.get("ONWARD_LIBRARY")
    if name:
        return C.CDLL(name)
    near = ["", "..", "../..", "../../..", "../../build"]
    for path in [os.path.join(_HERE, folder, "libonward.so") for folder in near] + ["libonward.so.0", ctypes.util.find_library("onward")]:
        if path and (os.path.exists(path) or os.sep not in path):
            try:
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


_lib.onward_encode_options_default.restype = _EncodeOptions
_lib.onward_free.argtypes = [C.c_void_p]
_lib.onward_free.restype = None
_lib.onward_tokenizer_free.argtypes = [C.c_void_p]
_lib.onward_tokenizer_free.restype = None
_lib.onward_tokenizer_token_id.argtypes = [C.c_void_p, C.c_char_p]
_lib.onward_tokenizer_token_id.restype = C.c_int64
_lib.onward_tokenizer_token.argtypes = [C.c_void_p, C.c_int64]
_lib.onward_tokenizer_token.restype = C.c_char_p


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
        options = _lib.onward_encode_options_default()
        options.add_special_tokens, options.truncate, options.pad, options.max_length = add_special_tokens, truncate or max_length > 0, pad, max_length
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
