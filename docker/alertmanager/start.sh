#!/bin/sh
# Writes Alertmanager's settings from the environment, which .env.example explains, and becomes Alertmanager.
# It reads no environment itself. Where nothing is set, alerts are shown on its page and sent to nobody.
set -eu
settings="${TMPDIR:-/tmp}/alertmanager.yml"
: "${ALERT_EMAIL:+${ALERT_SMTP:?is missing: the host:port that takes mail for ALERT_EMAIL}}"

quoted() { # a text of YAML
    printf "'%s'" "$(printf '%s' "$1" | sed "s/'/''/g")"
}

{
    echo "route: { receiver: operator, group_by: [ alertname ], group_wait: 10s, group_interval: 5m, repeat_interval: 4h }"
    echo "receivers:"
    echo "  - name: operator"
    if [ -n "${ALERT_WEBHOOK:-}" ]; then
        echo "    webhook_configs:"
        printf '      - url: %s\n' "$(quoted "$ALERT_WEBHOOK")"
    fi
    if [ -n "${ALERT_EMAIL:-}" ]; then
        echo "    email_configs:"
        printf '      - to: %s\n' "$(quoted "$ALERT_EMAIL")"
        printf '        from: %s\n' "$(quoted "${ALERT_SMTP_FROM:-$ALERT_EMAIL}")"
        printf '        smarthost: %s\n' "$(quoted "$ALERT_SMTP")"
        if [ -n "${ALERT_SMTP_USER:-}" ]; then
            printf '        auth_username: %s\n' "$(quoted "$ALERT_SMTP_USER")"
            printf '        auth_password: %s\n' "$(quoted "${ALERT_SMTP_PASSWORD:-}")"
        fi
    fi
} > "$settings"
# Without an address for a cluster: there is one Alertmanager.
exec alertmanager --config.file="$settings" --storage.path=/alertmanager --cluster.listen-address= "$@"
