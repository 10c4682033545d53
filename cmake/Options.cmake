# Compiler settings that every target shares.
add_library(cloister_options INTERFACE)
target_compile_options(cloister_options INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wno-missing-field-initializers -Wnon-virtual-dtor -Woverloaded-virtual
  -Werror=return-type -Werror=unused-result -fno-omit-frame-pointer -fstack-protector-strong)
target_compile_definitions(cloister_options INTERFACE
  _GNU_SOURCE _FILE_OFFSET_BITS=64 CLOISTER_VERSION="${PROJECT_VERSION}")
target_include_directories(cloister_options INTERFACE ${PROJECT_SOURCE_DIR}/src)

if(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo" OR CMAKE_BUILD_TYPE STREQUAL "Release")
  if(NOT CLOISTER_SANITIZE)
    target_compile_definitions(cloister_options INTERFACE _FORTIFY_SOURCE=2)
  endif()
endif()
if(CLOISTER_SANITIZE)
  target_compile_options(cloister_options INTERFACE -fsanitize=${CLOISTER_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(cloister_options INTERFACE -fsanitize=${CLOISTER_SANITIZE})
endif()
if(CLOISTER_FUZZ)
  # Coverage for libFuzzer in every room; the driver itself is linked by the targets in fuzz/.
  target_compile_options(cloister_options INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(cloister_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()
