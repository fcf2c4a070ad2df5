# make deps     install what is missing (Debian, Ubuntu), or name it
# make          build build/ol-extract, build/ol-analyze, build/ol-report
# make run      extract | analyze | report on the demo model, or MODEL=... [TEXT=...] [N=...] [L=...]
#                [FORMAT=html REPORT=page.html]
# make test     the whole test suite; make check: format, warnings, linters, sanitizers
# make bench    speed and memory, side by side with others where they are installed
# make install  PREFIX=/usr/local, DESTDIR=

VERSION := $(shell sed -n 's/^\#define OL_VERSION *"\(.*\)"/\1/p' common/version.h)
PREFIX  ?= /usr/local
DESTDIR ?=
CC      ?= cc
# The processor to compile for: x86-64-v3 (AVX2) runs on other machines too.
ARCH    ?= native
B       ?= build
PYTHON  ?= python3

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror
CFLAGS   ?= -O3 -g
# No contraction and no fast-math anywhere: results must not depend on the compiler's mood.
OL_CFLAGS := -std=c11 -D_GNU_SOURCE -I. $(WARNINGS) -march=$(ARCH) -ffp-contract=off \
             -fno-math-errno -pthread $(SANITIZE) $(CFLAGS)

PACKAGES := gcc make pkg-config libhdf5-dev libjansson-dev libdnnl-dev libpcre2-dev \
            libutf8proc-dev zlib1g-dev libzstd-dev libssl-dev
TEST_PACKAGES := libcmocka-dev bats python3 python3-h5py hdf5-tools zstd gzip

MODULES := hdf5 jansson libpcre2-8 libutf8proc zlib libzstd libcrypto
HDF5_CFLAGS := $(shell pkg-config --cflags hdf5 2>/dev/null)
OL_CPPFLAGS := $(HDF5_CFLAGS) -DH5_USE_110_API

LIBS_report  := -ljansson -lcrypto
LIBS_analyze := $(shell pkg-config --libs hdf5 2>/dev/null) $(LIBS_report)
LIBS_extract := $(LIBS_analyze) -ldnnl -lgomp -lpcre2-8 -lutf8proc -lz -lzstd
LDLIBS_all   := -lm -pthread

sources = $(filter-out $(1)/main.c,$(wildcard $(1)/*.c $(1)/*/*.c))
objects = $(patsubst %.c,$(B)/%.o,$(1))

TOOLS := extract analyze report
LIBS  := common $(TOOLS)
BINARIES := $(TOOLS:%=$(B)/ol-%)

.PHONY: all deps deps-check run test bench check format install uninstall clean
all: $(BINARIES)

# ---- compile ----

# One short line per file; V=1 shows the commands.
Q   := $(if $(V),,@)
say = $(if $(V),,@printf '%-4s %s\n' $(1) $(2))

$(B)/%.o: %.c | deps-check
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(OL_CFLAGS) $(OL_CPPFLAGS) -MMD -MP -c -o $@ $<

define library
$(B)/lib$(1).a: $(call objects,$(call sources,$(1)))
	@rm -f $$@
	$(Q)ar rcs $$@ $$^
endef
$(foreach lib,$(LIBS),$(eval $(call library,$(lib))))

define tool
$(B)/ol-$(1): $(B)/$(1)/main.o $(B)/lib$(1).a $(B)/libcommon.a
	$$(call say,LD,$$@)
	$(Q)$(CC) $(OL_CFLAGS) $(LDFLAGS) -o $$@ $$^ -Wl,--as-needed $(LIBS_$(1)) $(LDLIBS_all)
	@$(if $(filter extract,$(1)),echo 'ol-extract: built for the CPU only (this version has no CUDA backend)')
endef
$(foreach t,$(TOOLS),$(eval $(call tool,$(t))))

# A missing library is named with its package before anything is compiled.
deps-check:
	@sh common/deps.sh check

deps:
	@sh common/deps.sh install $(PACKAGES) $(TEST_PACKAGES)

# ---- test: unit tests (cmocka) are built from tests/unit, the rest are scripts ----

UNIT := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test_*.c))
TEST_TOOLS := $(patsubst tests/tools/%.c,$(B)/tests/%,$(wildcard tests/tools/*.c))

$(B)/tests/unit/%: $(B)/tests/unit/%.o $(LIBS:%=$(B)/lib%.a)
	$(call say,LD,$@)
	$(Q)$(CC) $(OL_CFLAGS) $(LDFLAGS) -o $@ $< -Wl,--start-group $(LIBS:%=$(B)/lib%.a) -Wl,--end-group \
	    -Wl,--as-needed $(LIBS_extract) -lcmocka $(LDLIBS_all)

$(B)/tests/%: $(B)/tests/tools/%.o $(B)/libextract.a $(B)/libcommon.a
	$(call say,LD,$@)
	$(Q)$(CC) $(OL_CFLAGS) $(LDFLAGS) -o $@ $^ -Wl,--as-needed $(LIBS_extract) $(LDLIBS_all)

.SECONDARY:

test: all $(UNIT) $(TEST_TOOLS)
	@BUILD=$(B) tests/run $(UNIT)

# ---- run: extract | analyze | report ----

MODEL ?= data/demo
TEXT  ?= data/demo/heldout.txt
FORMAT ?= markdown
N     ?= 16
L     ?= 512
OUT   ?= $(B)/$(notdir $(patsubst %/,%,$(MODEL))).h5

run: SHELL := /bin/bash
run: .SHELLFLAGS := -o pipefail -c
run: all
	@$(B)/ol-extract "$(MODEL)" -t "$(TEXT)" -n $(N) -l $(L) -o "$(OUT)" --perplexity \
	    --resume $(EXTRACT_OPTIONS) | $(B)/ol-analyze | $(B)/ol-report -f $(FORMAT) \
	    $(if $(REPORT),-o "$(REPORT)")

# ---- bench: PYTHON with torch and transformers to be compared with them ----

bench: all $(TEST_TOOLS)
	@BUILD=$(B) PYTHON=$(PYTHON) tests/bench/run

# ---- check: format, both compilers, cppcheck, the tests under sanitizers ----

SOURCES := $(wildcard $(foreach d,$(LIBS) tests,$(d)/*.[ch] $(d)/*/*.[ch]))

format:
	clang-format -i $(SOURCES)

check:
	@sh common/deps.sh tools clang-format clang cppcheck
	@clang-format --dry-run -Werror $(SOURCES)
	cppcheck --quiet --std=c11 --inline-suppr --error-exitcode=1 -I. \
	    --enable=warning,portability --suppress=missingIncludeSystem $(LIBS)
	$(MAKE) CC=clang B=$(B)-clang all $(patsubst $(B)/%,$(B)-clang/%,$(UNIT) $(TEST_TOOLS))
	ASAN_OPTIONS=detect_leaks=1 $(MAKE) B=$(B)-sanitize \
	    SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=undefined' \
	    CFLAGS='-O1 -g' test

# ---- install ----

MAN1 := $(wildcard $(TOOLS:%=%/*.1))
MAN5 := $(wildcard common/*.5)
BINDIR := $(DESTDIR)$(PREFIX)/bin
MANDIR := $(DESTDIR)$(PREFIX)/share/man
MODELDIR := $(DESTDIR)$(PREFIX)/share/outliers/models
MODELS := $(wildcard data/models/*.json)
SCHEMA := report/ol-results.schema.json

install: all
	install -d "$(BINDIR)" "$(MANDIR)/man1" "$(MANDIR)/man5" "$(MODELDIR)"
	install -m 755 $(BINARIES) "$(BINDIR)"
	install -m 644 $(MAN1) "$(MANDIR)/man1"
	install -m 644 $(MAN5) "$(MANDIR)/man5"
	install -m 644 $(MODELS) "$(MODELDIR)"
	install -m 644 $(SCHEMA) "$(dir $(MODELDIR))"

uninstall:
	rm -f $(patsubst $(B)/%,"$(BINDIR)/%",$(BINARIES)) \
	    $(patsubst %,"$(MANDIR)/man1/%",$(notdir $(MAN1))) \
	    $(patsubst %,"$(MANDIR)/man5/%",$(notdir $(MAN5))) \
	    $(patsubst %,"$(MODELDIR)/%",$(notdir $(MODELS))) \
	    "$(dir $(MODELDIR))$(notdir $(SCHEMA))"

clean:
	rm -rf $(B) $(B)-clang $(B)-sanitize

-include $(shell find $(B) -name '*.d' 2>/dev/null)
