# Libraries for another system by the compiler in PyPI's ziglang. The environment variable ZIG is its program, and
# ZIG_TARGET what to build for: x86_64-linux-gnu.2.17 runs with any glibc from 2.17 on.
set(CMAKE_SYSTEM_NAME Linux)
string(REGEX MATCH "^[^-]*" CMAKE_SYSTEM_PROCESSOR $ENV{ZIG_TARGET})
set(CMAKE_C_COMPILER ${CMAKE_CURRENT_LIST_DIR}/zig-compiler cc)
set(CMAKE_CXX_COMPILER ${CMAKE_CURRENT_LIST_DIR}/zig-compiler c++)
# Zig builds a C++ library for each target and set of these two: with them in all commands, CMake's checks and the
# library share one.
set(flags "-target $ENV{ZIG_TARGET} -fPIC -s")
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "arm")
  # The first with NEON.
  string(APPEND flags " -mcpu=cortex_a8")
endif()
set(CMAKE_C_FLAGS_INIT ${flags})
set(CMAKE_CXX_FLAGS_INIT ${flags})
# The host's ar need not know objects for other machines.
set(CMAKE_CXX_ARCHIVE_CREATE "$ENV{ZIG} ar qc <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_APPEND "$ENV{ZIG} ar q <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_FINISH "$ENV{ZIG} ranlib <TARGET>")
