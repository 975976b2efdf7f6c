# cmocka: the target Cmocka::Cmocka, or none, and then there are no tests.
find_path(CMOCKA_INCLUDE_DIR cmocka.h)
find_library(CMOCKA_LIBRARY cmocka)
if(CMOCKA_INCLUDE_DIR AND CMOCKA_LIBRARY)
  add_library(Cmocka::Cmocka UNKNOWN IMPORTED)
  set_target_properties(Cmocka::Cmocka PROPERTIES IMPORTED_LOCATION ${CMOCKA_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${CMOCKA_INCLUDE_DIR})
else()
  message(STATUS "cmocka was not found: the tests are not built (on Debian, apt-get install libcmocka-dev)")
endif()
