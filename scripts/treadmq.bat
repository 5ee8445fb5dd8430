@echo off
rem Starts and stops a TreadMQ broker on Windows.
rem   treadmq.bat start|stop|restart|status|console|kill [options of treadmq console]
rem TREADMQ_HOME is the installation (default: the folder above this script's),
rem TREADMQ_OPTS are further options.
setlocal
if "%TREADMQ_HOME%"=="" for %%I in ("%~dp0..") do set "TREADMQ_HOME=%%~fI"
set "PROGRAM=%TREADMQ_HOME%\bin\treadmq.exe"
if not exist "%PROGRAM%" (
  echo treadmq: there is no program at %PROGRAM%; set TREADMQ_HOME 1>&2
  exit /b 5
)
set "TASK=%~1"
if "%TASK%"=="" goto usage
for %%T in (start stop restart status console kill reload) do if /i "%TASK%"=="%%T" goto known
:usage
echo usage: treadmq.bat start^|stop^|restart^|status^|console^|kill [options] 1>&2
exit /b 2
:known
shift
set "REST="
:collect
if "%~1"=="" goto go
set REST=%REST% %1
shift
goto collect
:go
set "CONFIG="
if exist "%TREADMQ_HOME%\conf\treadmq.toml" set CONFIG=--config "%TREADMQ_HOME%\conf\treadmq.toml"
pushd "%TREADMQ_HOME%"
"%PROGRAM%" %TASK% %CONFIG% %TREADMQ_OPTS% %REST%
set CODE=%ERRORLEVEL%
popd
exit /b %CODE%
