# Libraries from the distribution. Static ones where the enclave's binary needs them: cloisterd has no loader.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(nlohmann_json REQUIRED)

set(OPENSSL_USE_STATIC_LIBS ON)
find_package(OpenSSL 3.0 REQUIRED)

function(cloister_static_library name file)
  find_library(${name}_STATIC NAMES ${file} REQUIRED)
  add_library(cloister_ext_${name} INTERFACE)
  target_link_libraries(cloister_ext_${name} INTERFACE ${${name}_STATIC})
endfunction()
cloister_static_library(zstd libzstd.a)
cloister_static_library(seccomp libseccomp.a)
cloister_static_library(sqlite libsqlite3.a)  # static, because cloisterd-sim links the room that uses it
target_link_libraries(cloister_ext_sqlite INTERFACE m)

add_library(cloister_ext_crypto INTERFACE)
target_link_libraries(cloister_ext_crypto INTERFACE OpenSSL::SSL OpenSSL::Crypto ${CMAKE_DL_LIBS})
add_library(cloister_ext_json INTERFACE)
target_link_libraries(cloister_ext_json INTERFACE nlohmann_json::nlohmann_json)
add_library(cloister_ext_threads INTERFACE)
target_link_libraries(cloister_ext_threads INTERFACE Threads::Threads)

# Host side only: none of these may be linked into the enclave's binaries (tests/ checks the link map).
find_library(YAML_CPP_LIBRARY NAMES yaml-cpp REQUIRED)
add_library(cloister_ext_yaml INTERFACE)
target_link_libraries(cloister_ext_yaml INTERFACE ${YAML_CPP_LIBRARY})
find_package(LibArchive REQUIRED)
add_library(cloister_ext_archive INTERFACE)
target_link_libraries(cloister_ext_archive INTERFACE LibArchive::LibArchive)
find_package(ZLIB REQUIRED)
add_library(cloister_ext_zlib INTERFACE)
target_link_libraries(cloister_ext_zlib INTERFACE ZLIB::ZLIB)
