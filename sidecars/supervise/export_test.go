package supervise

import "encoding/json"

// The readers of arguments, as the model's JSON reaches them.

func ReadAllowlist(raw json.RawMessage, inForce string) (string, error) {
	return readAllowlist(raw, inForce)
}

func ReadRoutes(raw json.RawMessage, inForce string) (string, error) {
	return readRoutes(raw, inForce)
}
