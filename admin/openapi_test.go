package admin

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"treadmq/notice"
)

var update = flag.Bool("update", false, "write openapi.json anew")

// apiDoc describes a route of the API.
type apiDoc struct {
	summary string
	keyed   bool     // takes Idempotency-Key
	query   []string // names of parameters, see queryParams
	in      any      // what the request's body is
	out     any      // what the answer is; nil: nothing
	status  string   // of success; "" = 200
	also    map[string]any
}

var listParams = []string{"filter", "name", "sort", "order", "limit", "cursor"}

// queryParams are the parameters in queries: a schema and words each.
var queryParams = map[string][2]string{
	"filter":      {"string", "Part of the name, in any case; of connections also user, address and client id"},
	"name":        {"string", "The whole name"},
	"sort":        {"string", "A figure of the items; default name"},
	"order":       {"string", "asc or desc"},
	"limit":       {"integer", "Most items of a page; default 100, more than 1000 is 1000"},
	"cursor":      {"string", "Where to go on: next of the page before"},
	"history":     {"boolean", "With what happened lately"},
	"spark":       {"boolean", "With a small picture of what happened in the last minutes: heights from 0 to 20"},
	"range":       {"string", "How far history goes back: 1h or 24h; default the last minutes"},
	"kind":        {"string", "queue or temp-queue, topic or temp-topic; default: whichever is there"},
	"force":       {"boolean", "Also while consumers are subscribed"},
	"dry_run":     {"boolean", "Only say what would be done"},
	"body":        {"boolean", "With bodies; needs the permission body"},
	"selector":    {"string", "Only messages that the selector lets through, as in SUBSCRIBE"},
	"text":        {"string", "Only messages whose body holds this; needs the permission body"},
	"reason":      {"string", "What the client is told"},
	"from":        {"string", "Only what is due then or later: RFC 3339, or ms since 1970"},
	"to":          {"string", "Only what is due then or earlier"},
	"destination": {"string", "Only what is delivered there: /queue/NAME or /topic/NAME"},
	"all":         {"boolean", "Really all, when nothing else is given"},
	"seconds":     {"integer", "How long, at most 3600; default 300; 0 ends it"},
	"undo":        {"boolean", "false: for good, nothing goes to the trash; default true"},
	"of":          {"string", "What to watch: overview, cluster, queues, queue, topics, connections, consumers, subscriptions or jobs. Other parameters are those of that list; queue takes name and kind"},
}

var apiDocs = map[string]apiDoc{
	"GET /api/v1/openapi.json": {summary: "This description", out: map[string]any{}},
	"GET /api/v1/overview":     {summary: "The broker as a whole: role, figures, store, alarms in words", query: []string{"range"}, out: overviewView{}},
	"GET /api/v1/events":       {summary: "Server-sent events: the JSON of a list or of one item, whenever it has changed", query: []string{"of"}},

	"GET /api/v1/queues":                           {summary: "List queues", query: append(slices.Clone(listParams), "history", "spark", "range"), out: listPage[queueView]{}},
	"GET /api/v1/queues/{name}":                    {summary: "One queue with its consumers, policy, oldest message and why it does not move", query: []string{"kind", "range"}, out: queueDetail{}},
	"PUT /api/v1/queues/{name}":                    {summary: "Create a queue; 200 if it was there", out: queueView{}, status: "201", also: map[string]any{"200": queueView{}}},
	"DELETE /api/v1/queues/{name}":                 {summary: "Delete a queue with its messages. 200 says how to undo it", query: []string{"force", "undo", "dry_run"}, status: "204", also: map[string]any{"200": removedView{}}},
	"POST /api/v1/queues/{name}/purge":             {summary: "Remove every message that no consumer holds", query: []string{"kind", "undo", "dry_run"}, out: removedView{}},
	"POST /api/v1/queues/{name}/pause":             {summary: "Stop deliveries until resumed, also over restarts; messages are still taken", query: []string{"kind"}, out: queueView{}},
	"POST /api/v1/queues/{name}/resume":            {summary: "Go on with deliveries", query: []string{"kind"}, out: queueView{}},
	"GET /api/v1/queues/{name}/messages":           {summary: "Look at messages; nothing is consumed", query: []string{"kind", "cursor", "limit", "body", "selector", "text"}, out: browsePage{}},
	"POST /api/v1/queues/{name}/messages":          {summary: "Send a message; the answer comes when it is stored", keyed: true, query: []string{"kind"}, in: outgoing{}, out: sentView{}, status: "201"},
	"POST /api/v1/queues/{name}/batch":             {summary: "Send up to 500 messages, all of them or none; the answer comes when they are stored", keyed: true, query: []string{"kind"}, in: messageBatch{}, out: batchView{}, status: "201"},
	"GET /api/v1/queues/{name}/messages/{at}":      {summary: "One message, by the cursor of a list", query: []string{"kind"}, out: messageView{}},
	"DELETE /api/v1/queues/{name}/messages/{at}":   {summary: "Delete one message. 200 says how to undo it", query: []string{"kind", "undo"}, status: "204", also: map[string]any{"200": removedView{}}},
	"POST /api/v1/queues/{name}/actions":           {summary: "Delete, move, copy or retry messages: those named, or all that match. What ends within 2 s is answered with its result, the rest with 202 and a job", query: []string{"kind"}, in: bulkAction{}, out: jobView{}, also: map[string]any{"202": jobView{}}},
	"GET /api/v1/queues/{name}/messages/{at}/life": {summary: "The life of a message: what is known of what happened to it, and how it is now", query: []string{"kind"}, out: lifeView{}},
	"POST /api/v1/queues/{name}/trace":             {summary: "Note for a while what happens to each message of a queue", query: []string{"kind", "seconds"}, out: queueView{}},
	"GET /api/v1/life/{message}":                   {summary: "What was noted of a message by its id, wherever it is or was", out: lifeView{}},
	"GET /api/v1/trash":                            {summary: "What was purged or deleted and can be undone, newest first", out: trashView{}},
	"POST /api/v1/trash/{id}/restore":              {summary: "Undo a purge or deletion. Where a queue of that name is there the messages go behind what it holds, as far as its limits allow", out: trashedView{}},
	"DELETE /api/v1/trash/{id}":                    {summary: "Remove for good what a purge or deletion has left", status: "204"},
	"GET /api/v1/deadletters":                      {summary: "Dead letters grouped by origin and reason", out: deadView{}},

	"GET /api/v1/topics":                  {summary: "List topics", query: append(slices.Clone(listParams), "history", "spark", "range"), out: listPage[topicView]{}},
	"GET /api/v1/topics/{name}":           {summary: "One topic with its subscribers and policy", query: []string{"kind", "range"}, out: topicDetail{}},
	"DELETE /api/v1/topics/{name}":        {summary: "Forget a topic that nobody is subscribed to", status: "204"},
	"POST /api/v1/topics/{name}/messages": {summary: "Publish a message", keyed: true, query: []string{"kind"}, in: outgoing{}, out: sentView{}, status: "201"},

	"POST /api/v1/topics/{name}/batch": {summary: "Publish up to 500 messages, all of them or none", keyed: true, query: []string{"kind"}, in: messageBatch{}, out: batchView{}, status: "201"},

	"GET /api/v1/subscriptions":                  {summary: "List durable subscriptions", query: append(slices.Clone(listParams), "history", "spark", "range"), out: listPage[durableView]{}},
	"GET /api/v1/subscriptions/{name}":           {summary: "One durable subscription with its consumers and policy", query: []string{"range"}, out: durableDetail{}},
	"PUT /api/v1/subscriptions/{name}":           {summary: "Create a durable subscription, or change its topics or selector", in: newDurable{}, out: durableView{}, status: "201", also: map[string]any{"200": durableView{}}},
	"DELETE /api/v1/subscriptions/{name}":        {summary: "Delete a durable subscription with its messages. 200 says how to undo it", query: []string{"force", "undo"}, status: "204", also: map[string]any{"200": removedView{}}},
	"POST /api/v1/subscriptions/{name}/purge":    {summary: "Remove every message that no consumer holds", query: []string{"undo", "dry_run"}, out: removedView{}},
	"GET /api/v1/subscriptions/{name}/messages":  {summary: "Look at messages; nothing is consumed", query: []string{"cursor", "limit", "body", "selector", "text"}, out: browsePage{}},
	"POST /api/v1/subscriptions/{name}/messages": {summary: "Send a message to a durable subscription alone", keyed: true, in: outgoing{}, out: sentView{}, status: "201"},

	"GET /api/v1/schedules":             {summary: "List schedules in order of their next delivery. A page may have fewer items than were asked for before the end", query: []string{"from", "to", "destination", "limit", "cursor"}, out: schedulePage{}},
	"DELETE /api/v1/schedules":          {summary: "Cancel the schedules that the parameters choose, or all", query: []string{"from", "to", "destination", "all"}, out: removedView{}},
	"GET /api/v1/schedules/{name}":      {summary: "One schedule with its message, by its name or id", query: []string{"body"}, out: scheduleDetail{}},
	"DELETE /api/v1/schedules/{name}":   {summary: "Cancel a schedule", status: "204"},
	"POST /api/v1/schedules/{name}/run": {summary: "Deliver a schedule's message now; what repeats goes on as it would have without", status: "204"},

	"GET /api/v1/connections":                                          {summary: "List connections", query: listParams, out: listPage[connectionView]{}},
	"GET /api/v1/connections/{serial}":                                 {summary: "One connection", out: connectionView{}},
	"DELETE /api/v1/connections/{serial}":                              {summary: "Close a connection", query: []string{"reason"}, status: "204"},
	"DELETE /api/v1/connections/{serial}/subscriptions/{subscription}": {summary: "End a subscription; the client is not told, what it holds goes back", status: "204"},
	"GET /api/v1/consumers":                                            {summary: "List the subscriptions of all connections", query: listParams, out: listPage[subscriptionView]{}},

	"GET /api/v1/cluster":           {summary: "The replicated group that this broker is a member of, as it sees it; 404 for a broker that stands alone", out: ClusterStatus{}},
	"POST /api/v1/cluster/handover": {summary: "Hand mastership to another member; at the master only", in: handoverBody{}, out: ClusterStatus{}},
	"POST /api/v1/cluster/voters":   {summary: "Give members a vote or take it, and change how many places there are; at the master only", in: votersBody{}, out: ClusterStatus{}},
	"POST /api/v1/cluster/elect":    {summary: "Start an election", out: ClusterStatus{}},
	"POST /api/v1/cluster/reseed":   {summary: "Make the group's register in ZooKeeper anew after ZooKeeper lost it", in: reseedBody{}, out: ClusterStatus{}},

	"GET /api/v1/policies":       {summary: "The rules of the configuration", out: items[PolicyRule]{}},
	"GET /api/v1/config":         {summary: "The keys of the configuration and where they come from, without secrets", out: items[ConfigEntry]{}},
	"GET /api/v1/tokens":         {summary: "Tokens of machines, without their secrets", out: items[tokenView]{}},
	"POST /api/v1/tokens":        {summary: "Make a token; only this answer has it. Not with a token", in: tokenWish{}, out: madeToken{}, status: "201"},
	"DELETE /api/v1/tokens/{id}": {summary: "Revoke a token", status: "204"},
	"GET /api/v1/links":          {summary: "Links that show a page to whoever has them, without their addresses: one's own, for an admin all", out: items[linkView]{}},
	"POST /api/v1/links":         {summary: "Make a link; only this answer has its address. Not with a token", in: linkWish{}, out: madeLink{}, status: "201"},
	"DELETE /api/v1/links":       {summary: "Revoke all links and take another key", out: removedView{}},
	"DELETE /api/v1/links/{id}":  {summary: "Revoke a link", status: "204"},
	"GET /api/v1/users":          {summary: "Users of the realm, without passwords", out: usersView{}},
	"GET /api/v1/roles":          {summary: "Roles and what they may", out: items[roleView]{}},
	"GET /api/v1/audit":          {summary: "The latest changes, newest first", query: []string{"limit"}, out: items[auditEntry]{}},
	"GET /api/v1/jobs":           {summary: "Bulk actions under way and ended, newest first", out: items[jobView]{}},
	"GET /api/v1/jobs/{id}":      {summary: "One bulk action", out: jobView{}},
	"DELETE /api/v1/jobs/{id}":   {summary: "Cancel a bulk action; what it has done stays done", out: jobView{}},
}

// TestOpenAPI: the file describes the routes, all of them and no others, and is
// what the types say. go test ./admin -run TestOpenAPI -args -update writes it anew.
func TestOpenAPI(t *testing.T) {
	known := map[string]bool{}
	for _, rt := range apiRoutes() {
		key := rt.method + " " + rt.path
		known[key] = true
		if _, ok := apiDocs[key]; !ok {
			t.Errorf("%s is not described in apiDocs of this test", key)
		}
	}
	for key := range apiDocs {
		if !known[key] {
			t.Errorf("there is no route %s", key)
		}
	}
	if t.Failed() {
		return
	}
	want := describe()
	if *update {
		if err := os.WriteFile("openapi.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(want, openAPI) {
		t.Error("openapi.json is not what routes and types say; write it anew with: go test ./admin -run TestOpenAPI -args -update")
	}
}

type object = map[string]any

func describe() []byte {
	schemas := object{}
	paths := object{}
	for _, rt := range apiRoutes() {
		doc := apiDocs[rt.method+" "+rt.path]
		path, _ := paths[rt.path].(object)
		if path == nil {
			path = object{}
			paths[rt.path] = path
		}
		path[strings.ToLower(rt.method)] = operation(rt, doc, schemas)
	}
	ref(reflect.TypeFor[problem](), schemas)
	file := object{
		"openapi": "3.1.0",
		"info": object{
			"title": "TreadMQ", "version": "1",
			"description": "What the console and the command line use. Nothing that is described here changes within version 1; fields may be added. Destinations' names are percent-encoded in paths.",
			"license":     object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers":  []any{object{"url": "/"}},
		"security": []any{object{"basic": []any{}}, object{"session": []any{}}, object{"token": []any{}}},
		"paths":    paths,
		"components": object{
			"schemas": schemas,
			"securitySchemes": object{
				"basic":   object{"type": "http", "scheme": "basic"},
				"token":   object{"type": "http", "scheme": "bearer", "description": "A token as of /api/v1/tokens"},
				"session": object{"type": "apiKey", "in": "cookie", "name": "treadmq-BROKER", "description": "The session of the console; each broker has a name of its own for it"},
			},
		},
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(file); err != nil {
		panic(err)
	}
	return b.Bytes()
}

var pathParam = regexp.MustCompile(`\{(\w+)\}`)

func operation(rt route, doc apiDoc, schemas object) object {
	id := strings.ToLower(rt.method) + strings.NewReplacer("/api/v1", "", "/", "_", "{", "", "}", "", ".", "_").Replace(rt.path)
	op := object{"operationId": id, "summary": doc.summary, "x-permission": rt.need.String()}
	if rt.need == permPublic {
		op["security"] = []any{}
	}
	var params []any
	for _, m := range pathParam.FindAllStringSubmatch(rt.path, -1) {
		params = append(params, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, name := range doc.query {
		p := queryParams[name]
		params = append(params, object{"name": name, "in": "query", "required": name == "of", "description": p[1], "schema": querySchema(name, p[0])})
	}
	if doc.keyed {
		params = append(params, object{"name": keyHeader, "in": "header", "required": false, "schema": object{"type": "string", "maxLength": maxSentKey},
			"description": "The same key sends the message once, however often that is asked for within a day and without a restart"})
	}
	if params != nil {
		op["parameters"] = params
	}
	if doc.in != nil {
		op["requestBody"] = object{"required": true, "content": content(doc.in, schemas)}
	}
	status := doc.status
	if status == "" {
		status = "200"
	}
	success := object{"description": "Done"}
	switch {
	case strings.HasSuffix(rt.path, "/events"):
		success["content"] = object{"text/event-stream": object{"schema": object{"type": "string"}}}
	case doc.out != nil:
		success["content"] = content(doc.out, schemas)
	}
	responses := object{status: success, "default": object{
		"description": "What went wrong, in words",
		"content":     object{"application/problem+json": object{"schema": object{"$ref": "#/components/schemas/problem"}}},
	}}
	for status, v := range doc.also {
		responses[status] = object{"description": "Done", "content": content(v, schemas)}
	}
	op["responses"] = responses
	return op
}

// querySchema says what values a parameter may have, as far as a schema can.
func querySchema(name, kind string) object {
	o := object{"type": kind}
	switch name {
	case "order":
		o["enum"] = []string{"", "asc", "desc"}
	case "kind":
		o["enum"] = []string{"", "queue", "temp-queue", "topic", "temp-topic", "subscription"}
	case "limit":
		o["minimum"] = 1
	}
	return o
}

func content(v any, schemas object) object {
	return object{"application/json": object{"schema": ref(reflect.TypeOf(v), schemas)}}
}

// ref is the schema of a type; structs have one by name.
func ref(t reflect.Type, schemas object) object {
	switch t {
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[headerList]():
		return object{"type": "object", "additionalProperties": object{"type": "string"}}
	case reflect.TypeFor[notice.Notice]():
		return object{"type": "string"}
	case reflect.TypeFor[[]byte]():
		return object{"type": "string", "contentEncoding": "base64"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return ref(t.Elem(), schemas)
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice:
		return object{"type": "array", "items": ref(t.Elem(), schemas)}
	case reflect.Map:
		return object{"type": "object"}
	case reflect.Struct:
		name := schemaName(t)
		if schemas[name] == nil {
			schemas[name] = object{}
			schemas[name] = structSchema(t, schemas)
		}
		return object{"$ref": "#/components/schemas/" + name}
	}
	return object{"type": "integer"}
}

func schemaName(t reflect.Type) string {
	name := regexp.MustCompile(`\[.*[./](\w+)\]$`).ReplaceAllString(t.Name(), "-$1")
	return strings.TrimSuffix(name, "View")
}

func structSchema(t reflect.Type, schemas object) object {
	props := object{}
	var required []string
	var add func(reflect.Type)
	add = func(t reflect.Type) {
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Anonymous {
				add(f.Type)
				continue
			}
			tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !f.IsExported() || tag == "-" || tag == "" {
				continue
			}
			props[tag] = ref(f.Type, schemas)
			if o, _ := props[tag].(object); f.Type.Kind() == reflect.Pointer && options == "" && o["type"] != nil {
				o["type"] = []any{o["type"], "null"}
			}
			if options == "" && f.Type.Kind() != reflect.Pointer {
				required = append(required, tag)
			}
		}
	}
	add(t)
	slices.Sort(required)
	s := object{"type": "object", "properties": props}
	if required != nil && t != reflect.TypeFor[outgoing]() && t != reflect.TypeFor[bulkAction]() && t != reflect.TypeFor[linkWish]() {
		s["required"] = required
	}
	if t == reflect.TypeFor[linkWish]() {
		s["required"] = []string{"page"}
	}
	if t == reflect.TypeFor[bulkAction]() {
		s["required"] = []string{"action"}
	}
	return s
}
