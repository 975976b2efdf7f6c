# KISS FFT, for the plug-in tests/plugins/fourier_mix alone: the target Onward_kissfft.
find_path(ONWARD_KISSFFT_INCLUDE_DIR kiss_fft.h PATH_SUFFIXES kissfft)
find_library(ONWARD_KISSFFT_LIBRARY NAMES kissfft-float kissfft)
if(NOT ONWARD_KISSFFT_INCLUDE_DIR OR NOT ONWARD_KISSFFT_LIBRARY)
  message(FATAL_ERROR "KISS FFT was not found, a test wants it: on Debian, apt-get install libkissfft-dev.")
endif()
add_library(Onward_kissfft INTERFACE)
target_include_directories(Onward_kissfft SYSTEM INTERFACE ${ONWARD_KISSFFT_INCLUDE_DIR})
target_link_libraries(Onward_kissfft INTERFACE ${ONWARD_KISSFFT_LIBRARY})
