#!/bin/sh
# Runs a test's program where it finds a GPU: under the command in CONVOY_TEST_LAUNCHER, if there is one.
# Its report gets a name of its own beside that of the same program's other cases.
case ${GTEST_OUTPUT:-} in
  xml:*/) GTEST_OUTPUT=${GTEST_OUTPUT}test_gpu_$(basename "$1" | sed 's/^test_//').xml; export GTEST_OUTPUT ;;
esac
# shellcheck disable=SC2086  # a launcher is several words
exec ${CONVOY_TEST_LAUNCHER:-} "$@"
