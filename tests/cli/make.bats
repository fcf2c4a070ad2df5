# What `make` does beside compiling, on a tree with the same Makefile and tools of two lines;
# and the scripts that it and .ci/run call.
load common

# A make that nobody has told anything: none of this test's own settings, no CUDA.
bare_make() {
    env -u MAKELEVEL -u MAKEFLAGS -u MFLAGS -u CC -u CXX CUDA=0 make TEST_TOOLS= "$@"
}

setup() {
    unset ONLY JOBS # of the run that this test is part of
    cp -r "$ROOT/Makefile" "$ROOT/.gitignore" "$BATS_TEST_TMPDIR"
    cd "$BATS_TEST_TMPDIR"
    mkdir -p common extract analyze report data/models tests/cli tests/unit bin
    cp "$ROOT"/common/*.sh "$ROOT/common/version.h" "$ROOT"/common/*.5 common
    cp "$ROOT"/report/*.schema.json report
    for tool in extract analyze report; do
        cp "$ROOT/$tool"/*.1 "$tool"
        echo 'int main(void) { return 0; }' >$tool/main.c
        echo "int ol_$tool;" >$tool/part.c
    done
    echo '{}' >data/models/one.json
    echo 'int ol_common;' >common/part.c
    echo 'int ol_no_cuda;' >extract/no_cuda.c
    # Stands for the test runner: says how many suites it was to run side by side.
    printf '#!/bin/sh\necho "jobs: $JOBS"\n' >tests/run
    chmod +x tests/run
}

@test "make: deps is done before anything that it brings is looked up" {
    # Where nothing is installed, pkg-config knows nothing, and nothing compiles.
    printf '#!/bin/sh\n[ ! -e installed ] || echo -DINSTALLED\n' >bin/pkg-config
    printf '#!/bin/sh\n[ "$1" != install ] || touch installed\n[ -e installed ]\n' >common/deps.sh
    chmod +x bin/pkg-config
    for tool in extract analyze report; do
        printf '#ifndef INSTALLED\n#error nothing is installed\n#endif\n' >>$tool/main.c
    done
    PATH=$PWD/bin:$PATH
    not bare_make all
    bare_make deps all
    [ -x build/ol-report ]
}

@test "make: deps with run leaves out what only tests need" {
    printf '#!/bin/sh\n[ "$1" != install ] || { shift; echo "$*" >>asked; }\n' >common/deps.sh
    bare_make deps
    grep -q 'libhdf5-dev.* bats' asked
    rm asked
    bare_make deps all
    grep -q libhdf5-dev asked
    not grep -q bats asked
    rm asked
    bare_make deps test
    grep -q 'libhdf5-dev.* bats' asked
}

@test "make: without an environment, which has no PATH either" {
    env -i "$(command -v make)" CUDA=0 deps-check all
    [ -x build/ol-extract ]
}

@test "make: as many jobs as cores, unless it is told otherwise" {
    [ "$(bare_make test | tail -n 1)" = "jobs: $(nproc)" ]
    [ "$(bare_make deps-check test | tail -n 1)" = "jobs: $(nproc)" ]
    [ "$(bare_make -j3 test | tail -n 1)" = "jobs: 3" ]
    [ "$(env -u MAKELEVEL -u CC MAKEFLAGS=-j5 CUDA=0 make TEST_TOOLS= test | tail -n 1)" = "jobs: 5" ]
}

@test "make: commands are done in the order in which they are given" {
    bare_make all
    touch build/rubbish
    bare_make clean all
    [ -x build/ol-extract ]
    [ ! -e build/rubbish ]
    bare_make all clean
    [ ! -e build ]
}

@test "make: clean leaves runs alone" {
    bare_make all
    mkdir runs
    touch runs/demo.h5
    bare_make clean
    [ -e runs/demo.h5 ]
    [ ! -e build ]
    grep -qx /runs/ .gitignore
}

@test "make: install and uninstall, below a name with spaces" {
    for where in "$PWD/a place" ''; do
        prefix=${where:-$PWD/another place}/usr
        bare_make install DESTDIR="$where" PREFIX="${prefix#"$where"}"
        (cd "$prefix" && find . -type f | LC_ALL=C sort) >files
        cat >expected <<EOF
./bin/ol-analyze
./bin/ol-extract
./bin/ol-report
$(cd "$ROOT" && for page in */*.[15]; do echo "./share/man/man${page##*.}/${page##*/}"; done | LC_ALL=C sort)
./share/outliers/models/one.json
./share/outliers/ol-results.schema.json
EOF
        diff expected files
        "$prefix/bin/ol-extract"
        bare_make uninstall DESTDIR="$where" PREFIX="${prefix#"$where"}"
        [ -z "$(find "$prefix" -type f)" ]
        [ ! -e "$prefix/share/outliers" ]
    done
}

@test "tests/run: suites side by side, results in order, every kind of failure counted" {
    cp "$ROOT/tests/run" tests
    printf 'load common\n@test "passes" { sleep 1; }\n@test "fails" { false; }\n' >tests/cli/b.bats
    printf '@test "passes" { true; }\n@test "is left out" { skip "no reason"; }\n' >tests/cli/a.bats
    touch tests/cli/common.bash
    for unit in test_slow test_dead test_silent; do touch tests/unit/$unit.c; done
    printf '#!/bin/sh\nsleep 1\necho ok 1 - slow\n' >test_slow
    printf '#!/bin/sh\necho ok 1 - first\nkill -9 $$\n' >test_dead
    printf '#!/bin/sh\n' >test_silent
    chmod +x test_*
    for jobs in 1 4; do
        status=0
        JOBS=$jobs tests/run ./test_slow ./test_dead ./test_silent >out 2>&1 || status=$?
        [ "$status" -eq 1 ]
        [ "$(grep -oE '^(ok  |FAILED|skip:) +[a-z_]+(\.bats)?' out | tr -s ' ' | tr '\n' ',')" = \
            'ok test_slow,FAILED test_dead,FAILED test_silent,skip: a.bats,ok a.bats,FAILED b.bats,' ]
        [ "$(tail -n 2 out)" = "1 skipped
4 passed, 3 failed" ]
    done
    ONLY=a tests/run >out
    [ "$(tail -n 1 out)" = '1 passed, 0 failed' ]
    status=0
    ONLY=none tests/run >out || status=$?
    [ "$status" -eq 1 ]
    [ "$(tail -n 1 out)" = '0 passed, 1 failed' ]
}

# The parts on bare systems are not made here; without debootstrap they are left out by name.
@test ".ci/run: one closing line, and a status that is that of every part" {
    mkdir .ci
    cp "$ROOT/.ci/run" .ci
    for tool in bash dirname mktemp rm timeout tee tail grep cut id make sh cat; do
        ln -s "$(command -v $tool)" bin/$tool
    done
    run_ci() { env PATH="$PWD/bin" TMPDIR="$PWD" .ci/run; }
    printf 'deps run:\ntest:\n\t@cat counted; [ ! -e failing ]\n' >Makefile
    echo '7 passed, 0 failed' >counted
    run_ci >out
    tail -n 1 out | grep -qx '9 passed, 0 failed'
    grep -qE '^Debian 12: left out, (no debootstrap|not root)$' out
    echo '6 passed, 1 failed' >counted
    touch failing
    status=0
    run_ci >out || status=$?
    [ "$status" -eq 1 ]
    tail -n 1 out | grep -qx '7 passed, 2 failed'
    [ -z "$(find . -name 'ol-ci-*')" ]
}
