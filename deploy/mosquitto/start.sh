#!/bin/sh
# Puts together what Mosquitto can't take from the environment, and replaces itself by the broker.
#   MQTT_LISTEN      port, or port and address, of the listener       (1883)
#   MQTT_DATA        folder of its own: users, saved messages         (/mosquitto/data)
#   MQTT_PASSWORD    of the user potok
#   MQTT_CAMERAS     kvfv_id:password of each camera, apart by spaces or lines; may be empty
# Passwords are hashed before the broker reads them; the file is readable by its user only.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
data=${MQTT_DATA:-/mosquitto/data}
: "${MQTT_PASSWORD:?is the password of the user potok}"
umask 077

{
  printf 'potok:%s\n' "$MQTT_PASSWORD"
  # Word by word; nothing in a password is a pattern here.
  set -f
  for camera in ${MQTT_CAMERAS:-}; do printf '%s\n' "$camera"; done
  set +f
} > "$data/users.new"
mosquitto_passwd -U "$data/users.new"
mv "$data/users.new" "$data/users"
cp "$here/acl" "$data/acl"
{
  cat "$here/mosquitto.conf"
  echo "user $(id -un 2>/dev/null || id -u)"
  echo "persistence_location $data/"
  echo "password_file $data/users"
  echo "acl_file $data/acl"
  echo "listener ${MQTT_LISTEN:-1883}"
  # Of this listener: named before it, it would open the standard port, too.
  echo "max_connections 20000"
} > "$data/mosquitto.conf"
exec mosquitto -c "$data/mosquitto.conf"
