package admin

import (
	_ "embed"
	"net/http"
)

// The API in OpenAPI 3.1, made by a test from the routes and their types.
//
//go:embed openapi.json
var openAPI []byte // never changed

func (s *Server) apiDescription(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openAPI) // the client may be gone
	return nil
}
