#!/usr/bin/env bash
# The static checks of `make test`, a line each; the first that fails shows what it found and ends the run.
set -euo pipefail
check() {
  local name=$1 started=$SECONDS
  shift
  if ! said=$("$@" 2>&1); then
    echo "$said"
    echo "  $name: failed" >&2
    return 1
  fi
  printf '  %-40s ok  %4d s\n' "$name" $((SECONDS - started))
}

# What a check found that is no failure: said in one line, since nobody would look for it.
check_and_say() {
  check "$@"
  echo "$said" | tail -n 1 | sed 's/^/    /'
}

check "ruff check" .venv/bin/ruff check services infra tests
check "ruff format --check" .venv/bin/ruff format --check services infra tests
check "mypy --strict services/candid" .venv/bin/mypy
check "cfn-lint template.yaml" .venv/bin/cfn-lint --non-zero-exit-code warning template.yaml
# Linting needs a Region; no account is asked anything.
AWS_DEFAULT_REGION=us-east-1 SAM_CLI_TELEMETRY=0 check "sam validate --lint" .venv-sam/bin/sam validate --lint --template template.yaml
check "bandit" .venv/bin/bandit --quiet --recursive --configfile pyproject.toml services infra
check "licences of what is deployed" .venv/bin/python -m infra.supply.licences
check_and_say "pip-audit" .venv/bin/python -m infra.supply.audit
