package admin

import (
	"html/template"
	"strings"
)

// SettingRows are the rows of the page of settings, made here as there are over a hundred.
func (p *page) SettingRows(list []ConfigEntry) template.HTML {
	esc := template.HTMLEscapeString
	value, usual := p.cell("message.value", "value wide"), p.cell("settings.default", "value wide muted")
	origin := p.originCells()
	var b strings.Builder
	for i := range list {
		e := &list[i]
		b.WriteString(rowOf(e.Value != e.Default) + `<td class="name" title="` + esc(p.Doc(e.Key, e.Doc)) + `"><code>` + esc(e.Key) + "</code></td>" +
			value + esc(e.Value) + "</td>" + usual + esc(e.Default) + "</td>" + origin(e.Origin) + "</tr>\n")
	}
	return template.HTML(b.String())
}

// PolicyRows are the rows of what holds for one destination.
func (p *page) PolicyRows(list []PolicySetting) template.HTML {
	esc := template.HTMLEscapeString
	value := p.cell("message.value", "value wide")
	origin := p.originCells()
	var b strings.Builder
	for i := range list {
		e := &list[i]
		b.WriteString(rowOf(e.Origin != fromDefault) + `<td class="name"><code>` + esc(e.Key) + "</code></td>" + value + esc(e.Value) + "</td>" + origin(e.Origin) + "</tr>\n")
	}
	return template.HTML(b.String())
}

// fromDefault is the origin of a setting that nobody has set.
const fromDefault = "default"

func rowOf(own bool) string {
	if own {
		return `<tr class="own">`
	}
	return "<tr>"
}

// cell opens a cell whose column has the title key.
func (p *page) cell(key, class string) string {
	return `<td data-label="` + template.HTMLEscapeString(p.T(key)) + `" class="` + class + `">`
}

func (p *page) originCells() func(string) string {
	head := p.cell("settings.origin", "wide muted")
	usual := head + template.HTMLEscapeString(p.T("settings.default")) + "</td>"
	return func(origin string) string {
		if origin == fromDefault {
			return usual
		}
		return head + template.HTMLEscapeString(origin) + "</td>"
	}
}
