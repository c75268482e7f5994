# Each target is a script; `make help` says what they do.
PORT ?= 8080
export PORT COUNT SEED SEEDS SANITIZER QUICK SCENARIO CONTESTANT
PREFIX ?= /usr/local

.DEFAULT_GOAL := help
.PHONY: help setup module launcher applications frameworks run test testdaemon stress sanitize check cost bench fuzz format install uninstall clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.* ## /  make \1\t/p' Makefile | expand -t 22

setup: ## install what is missing: httpd, its headers, tools
	@.ci/setup

module: setup ## build mod_swiftgi.so with apxs
	@apache/build

launcher: setup ## build swiftgi-run, which serves by CGI, FastCGI and SCGI
	@.ci/launcher

applications: setup ## build the samples and the tests' applications
	@.ci/applications

frameworks: setup ## build what needs the adapters for frameworks: Hummingbird and NIO, minutes the first time
	@.ci/frameworks

run: module applications ## serve the samples at http://127.0.0.1:8080/ until Ctrl-C; PORT=
	@.ci/serve

test: module launcher applications ## run every test; those of frameworks if `make frameworks` has built them
	@.ci/test

testdaemon: module launcher applications ## run the tests with httpd, all applications in a group of processes
	@SWIFTGI_TEST_EXECUTION=daemon .ci/test

stress: module launcher applications ## force the ends of a request against one another; COUNT= SEED= SEEDS=
	@.ci/stress

sanitize: module launcher applications ## tests of requests that wait, under ThreadSanitizer and AddressSanitizer; SANITIZER=
	@.ci/sanitize

check: module launcher applications ## formats, lints, exported symbols, coverage of the documents
	@.ci/check

cost: module launcher applications ## what a request costs: allocations, instructions (valgrind, ab)
	@Tests/Cost/cost.sh .build/apps/release/libHello.so
	@Tests/Cost/cost.sh .build/apps/release/libAsyncHello.so
	@Tests/Cost/daemon.sh .build/launcher/swiftgi-run .build/apps/release/libHello.so
	@Tests/Cost/httpd.sh .build/apache/.libs/mod_swiftgi.so .build/launcher/swiftgi-run .build/apps/release/libHello.so \
	    .build/apps/release/libAsyncHello.so

bench: module launcher ## compare with peers: a table, report.json, charts; QUICK=1 SCENARIO= CONTESTANT=
	@.ci/bench

fuzz: setup ## feed the decoders what a fuzzer makes up; SECONDS_EACH=60 FUZZERS=
	@Tests/Fuzz/fuzz.sh

format: setup ## put C and Swift into the form that check wants
	@.ci/format

install: module launcher ## install the module, its configuration and swiftgi-run; DESTDIR=, PREFIX=
	@DESTDIR='$(DESTDIR)' apache/install
	@install -D -m 755 .build/launcher/swiftgi-run '$(DESTDIR)$(PREFIX)/bin/swiftgi-run'

uninstall: ## remove what install has installed; DESTDIR=
	@DESTDIR='$(DESTDIR)' apache/uninstall
	@rm -f '$(DESTDIR)$(PREFIX)/bin/swiftgi-run'

clean: ## remove what was built
	@rm -rf .build
