@ECHO OFF
REM SPDX-License-Identifier: Apache-2.0
REM make.bat html, or any other builder of Sphinx; without one it lists them.

pushd %~dp0

if "%SPHINXBUILD%" == "" set SPHINXBUILD=sphinx-build
set SOURCEDIR=.
set BUILDDIR=_build

%SPHINXBUILD% --version >NUL 2>NUL
if errorlevel 9009 (
    echo sphinx-build was not found. Install it: pip install -r ..\scripts\requirements.txt
    popd
    exit /b 1
)

if "%1" == "" (
    %SPHINXBUILD% -M help %SOURCEDIR% %BUILDDIR% %SPHINXOPTS% %O%
) else (
    %SPHINXBUILD% -M %1 %SOURCEDIR% %BUILDDIR% %SPHINXOPTS% %O%
)
popd
