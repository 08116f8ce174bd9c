# Run by the build: cmake -DSOURCE=web/api-docs -DFOLDER=... -P FetchApiDocs.cmake
# Fetches the viewer of /api/docs into FOLDER, as package-lock.json pins it (version and integrity).
# No package's install script is run.

set(instead "cmake -DSLUICE_API_DOCS=OFF builds the server without the page /api/docs.")
find_program(NPM npm)
if(NOT NPM)
  message(FATAL_ERROR "npm is needed to fetch the viewer of /api/docs: install Node.js 18 or newer. ${instead}")
endif()
file(COPY ${SOURCE}/package.json ${SOURCE}/package-lock.json DESTINATION ${FOLDER})
execute_process(
  COMMAND ${NPM} ci --ignore-scripts --no-audit --no-fund --loglevel=error
  WORKING_DIRECTORY ${FOLDER} RESULT_VARIABLE status ERROR_VARIABLE errors OUTPUT_QUIET)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "npm could not fetch the viewer of /api/docs:\n${errors}\nIs the registry reachable? ${instead}")
endif()
