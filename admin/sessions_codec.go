package admin

import (
	"encoding/json"
	"fmt"
	"time"
)

// sessionCodec writes a session as JSON. It is a scs.Codec: sessions hold strings only, and every request reads and writes one, for
// which encoding/gob would describe its types anew each time.
type sessionCodec struct{}

type encodedSession struct {
	Deadline time.Time         `json:"deadline"`
	Values   map[string]string `json:"values"`
}

// Encode implements scs.Codec.
func (sessionCodec) Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	e := encodedSession{deadline, make(map[string]string, len(values))}
	for name, value := range values {
		text, ok := value.(string)
		if !ok {
			return nil, fmt.Errorf("the session's %s is a %T, and sessions hold strings only", name, value)
		}
		e.Values[name] = text
	}
	return json.Marshal(e)
}

// Decode implements scs.Codec.
func (sessionCodec) Decode(data []byte) (time.Time, map[string]any, error) {
	var e encodedSession
	if err := json.Unmarshal(data, &e); err != nil {
		return time.Time{}, nil, err
	}
	values := make(map[string]any, len(e.Values))
	for name, value := range e.Values {
		values[name] = value
	}
	return e.Deadline, values, nil
}
