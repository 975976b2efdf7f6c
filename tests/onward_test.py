"""Runs `onward test` over many folders and survives a process that dies: what was not answered is asked again, without the folder it died on."""
import os
import signal
import subprocess

VERDICTS = ("PASS", "FAIL", "UNSUPPORTED")


def arguments(words, default=os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "build", "onward")):
    """[BINARY] [flags] -> binary, flags"""
    if words and not words[0].startswith("-"):
        return words[0], words[1:]
    return default, words


def _parse(line, waiting):
    """'FAIL DIR: reason' -> (DIR, verdict, reason), for a DIR among those waiting"""
    verdict, _, rest = line.partition(" ")
    if verdict not in VERDICTS:
        return None
    for d in waiting:
        if rest == d or rest.startswith(d + ": "):
            return d, verdict, rest[len(d) + 2:]
    return None


def run(binary, dirs, flags=(), timeout=600):
    """{dir: (verdict, reason)}; a verdict may also be CRASH. RuntimeError when the command itself refuses to work."""
    results, waiting = {}, list(dirs)
    while waiting:
        try:
            p = subprocess.run([binary, "test", *waiting, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
            code, out, err = p.returncode, p.stdout, p.stderr
        except subprocess.TimeoutExpired as e:
            code, out, err = None, e.stdout or b"", e.stderr or b""
        except OSError as e:
            raise RuntimeError(f"{binary}: {e.strerror}") from e
        out, err = out.decode("utf-8", "replace"), err.decode("utf-8", "replace").strip()
        if code == 2:
            raise RuntimeError(err or f"{binary}: exit code 2")
        answered = 0
        for line in out.splitlines():
            one = _parse(line, waiting[answered:answered + 1])
            if one:
                results[one[0]] = one[1:]
                answered += 1
        clean = 0 if all(results[d][0] == "PASS" for d in waiting[:answered]) else 1
        if answered == len(waiting) and code == clean:
            break
        what = f"no answer within {timeout} s" if code is None else signal.Signals(-code).name if code < 0 else f"exit code {code}"
        at = min(answered, len(waiting) - 1)
        results[waiting[at]] = ("CRASH", f"{what}; {err.splitlines()[-1] if err else 'nothing on stderr'}")
        waiting = waiting[at + 1:]
    return results
