# shellcheck shell=bash
# Sourced by the scripts here: what they need installed. Not a command.

# A command found on the path is as good as the package it comes from.
package_is_there() {
  case $1 in
    gcc | g++ | cmake | pkg-config | clang | clang-format | python3) command -v "$1" ;;
    ninja-build) command -v ninja || command -v make ;;
    protobuf-c-compiler) command -v protoc-c ;;
    python3-pip) python3 -m pip --version ;;
    *) dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null | grep '^ii' ;;
  esac >/dev/null 2>&1
}

# packages_need PACKAGE...: installs what is missing when this is Debian and we are root; otherwise says what to install and
# fails. Off Debian nothing is checked: CMake names what it does not find.
packages_need() {
  command -v dpkg-query >/dev/null 2>&1 || return 0
  local package missing=()
  for package in "$@"; do
    case " ${missing[*]-} " in *" $package "*) continue ;; esac
    package_is_there "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    echo "Missing packages. As root: apt-get install ${missing[*]}" >&2
    return 1
  fi
  echo "installing: ${missing[*]}"
  local log
  log=$(mktemp)
  if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -5 "$log" >&2
    echo "apt-get could not install: ${missing[*]}" >&2
    return 1
  fi
  rm -f "$log"
}

# The packages that the build needs. pip only when oneDNN still has to be fetched.
packages_build() {
  local list=(gcc libc6-dev cmake ninja-build libprotobuf-c-dev protobuf-c-compiler libcjson-dev libpcre2-dev libutf8proc-dev python3)
  [ -e "${ONWARD_DEPS_DIR:-.deps}/onednn-3.2.0/lib/libdnnl.so.3" ] || list+=(python3-pip)
  echo "${list[@]}"
}

# build_into FOLDER TARGET [CMAKE-OPTION...]: configures when needed and builds; output goes to FOLDER/build.log, its end to
# stderr on failure.
build_into() {
  local folder=$1 target=$2 generator=()
  shift 2
  mkdir -p "$folder"
  [ -e "$folder/CMakeCache.txt" ] || ! command -v ninja >/dev/null 2>&1 || generator=(-G Ninja)
  if ! { cmake -S . -B "$folder" "${generator[@]}" "$@" && cmake --build "$folder" -j "$(nproc)" --target "$target"; } >"$folder/build.log" 2>&1; then
    grep -E 'error|Error|FAILED|CMake Error' -A 4 "$folder/build.log" | head -40 >&2 || true
    echo "the build failed; all of it is in $folder/build.log" >&2
    return 1
  fi
}
