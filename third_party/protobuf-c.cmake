# protobuf-c >= 1.4: the target ProtobufC::ProtobufC, the compiler, and onward_protobuf_c().
find_path(PROTOBUF_C_INCLUDE_DIR protobuf-c/protobuf-c.h)
find_library(PROTOBUF_C_LIBRARY protobuf-c)
find_program(PROTOC_C NAMES protoc-c protoc-gen-c)
if(NOT PROTOBUF_C_INCLUDE_DIR OR NOT PROTOBUF_C_LIBRARY OR NOT PROTOC_C)
  message(FATAL_ERROR "protobuf-c 1.4 or newer is needed: on Debian, apt-get install libprotobuf-c-dev protobuf-c-compiler.")
endif()
file(STRINGS ${PROTOBUF_C_INCLUDE_DIR}/protobuf-c/protobuf-c.h line REGEX "define PROTOBUF_C_VERSION_NUMBER")
string(REGEX MATCH "[0-9]+$" number "${line}")
if(number LESS 1004000)
  message(FATAL_ERROR "protobuf-c in ${PROTOBUF_C_INCLUDE_DIR} is older than 1.4.")
endif()
add_library(ProtobufC::ProtobufC UNKNOWN IMPORTED)
set_target_properties(ProtobufC::ProtobufC PROPERTIES IMPORTED_LOCATION ${PROTOBUF_C_LIBRARY}
                      INTERFACE_INCLUDE_DIRECTORIES ${PROTOBUF_C_INCLUDE_DIR})

# An object library `target` from one .proto file, and target_headers to include its header, as "onnx.pb-c.h" or
# "proto/onnx.pb-c.h". Generated code is not held to our warnings.
function(onward_protobuf_c target proto)
  get_filename_component(stem ${proto} NAME_WE)
  get_filename_component(folder ${proto} DIRECTORY)
  set(root ${CMAKE_BINARY_DIR}/generated)
  set(out ${root}/proto)
  file(MAKE_DIRECTORY ${out})
  add_custom_command(OUTPUT ${out}/${stem}.pb-c.c ${out}/${stem}.pb-c.h
                     COMMAND ${PROTOC_C} --c_out=${out} -I${folder} ${proto} DEPENDS ${proto} VERBATIM)
  add_library(${target} OBJECT ${out}/${stem}.pb-c.c ${out}/${stem}.pb-c.h)
  target_compile_options(${target} PRIVATE -w)
  target_link_libraries(${target} PRIVATE ProtobufC::ProtobufC)
  add_library(${target}_headers INTERFACE)
  add_dependencies(${target}_headers ${target})
  target_include_directories(${target}_headers SYSTEM INTERFACE ${root} ${out} ${PROTOBUF_C_INCLUDE_DIR})
endfunction()
