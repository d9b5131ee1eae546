#!/bin/sh
# Install a build under a temporary prefix and use it as somebody else's project would: by
# pkg-config, shared and static, and by find_package(). The programs must run and know the version.
#
# usage: install.sh BUILD-DIR      (environment: CC)
set -eu
build=$(cd "$1" && pwd)
cc=${CC:-cc}
work=$(mktemp -d "${TMPDIR:-/tmp}/seglog-install.XXXXXX")
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix

cmake --install "$build" --prefix "$prefix" >/dev/null

libdir=$(dirname "$(find "$prefix" -name 'libseglog.so')")
export PKG_CONFIG_PATH="$libdir/pkgconfig"
version=$(pkg-config --modversion seglog)

cat >"$work/main.c" <<'END'
#include <seglog/seglog.h>
#include <stdio.h>

int main(void)
{
    puts(seglog_version());
    return 0;
}
END

must_say_version() {
    said=$("$@")
    if [ "$said" != "$version" ]; then
        echo "$*: said '$said', not '$version'"
        exit 1
    fi
}

# shellcheck disable=SC2046
"$cc" "$work/main.c" -o "$work/shared" $(pkg-config --cflags --libs seglog) "-Wl,-rpath,$libdir"
must_say_version "$work/shared"

# shellcheck disable=SC2046
"$cc" "$work/main.c" -o "$work/static" \
    $(pkg-config --static --cflags --libs seglog | sed 's/-lseglog/-l:libseglog.a/')
must_say_version "$work/static"

mkdir "$work/project"
cp "$work/main.c" "$work/project"
cat >"$work/project/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(user C)
find_package(seglog REQUIRED)
add_executable(shared main.c)
target_link_libraries(shared seglog::seglog)
add_executable(static main.c)
target_link_libraries(static seglog::seglog_static)
END
cmake -S "$work/project" -B "$work/project/build" -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_COMPILER="$cc" >/dev/null
cmake --build "$work/project/build" >/dev/null
must_say_version "$work/project/build/shared"
must_say_version "$work/project/build/static"

if [ -x "$prefix/bin/seglog" ]; then
    "$prefix/bin/seglog" --version >/dev/null
fi
