package manifest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/google/jsonschema-go/jsonschema"
)

// Schema is the JSON Schema (draft 2020-12) of a manifest, made from the types of this package, as the file
// docs/manifest.schema.json. An editor checks with it while one types; what relates keys to each other is for
// Load alone.
func Schema() ([]byte, error) {
	s, err := schema()
	if err != nil {
		return nil, err
	}
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the schema of the manifest: %w", err)
	}
	return append(out, '\n'), nil
}

func schema() (*jsonschema.Schema, error) {
	types := map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[Roles](): {AnyOf: []*jsonschema.Schema{
			{Type: "string"},
			{Type: "array", Items: &jsonschema.Schema{Type: "string"}, UniqueItems: true}}},
		reflect.TypeFor[Bytes](): {AnyOf: []*jsonschema.Schema{
			{Type: "integer"}, // with the bounds of its kind
			{Type: "string", Pattern: `^\s*[0-9]+(\.[0-9]+)?\s*[kmgtKMGT]?[iI]?[bB]?\s*$`}}},
		reflect.TypeFor[Object]():          {Type: "object"},
		reflect.TypeFor[Entries[Object]](): {Type: "object", AdditionalProperties: &jsonschema.Schema{Type: "object"}},
		reflect.TypeFor[Entries[string]](): {Type: "object", AdditionalProperties: &jsonschema.Schema{Type: "string"}},
	}
	opts := &jsonschema.ForOptions{TypeSchemas: types}
	profile, err := jsonschema.For[Profile](opts)
	if err != nil {
		return nil, fmt.Errorf("the schema of a profile: %w", err)
	}
	agent, err := jsonschema.For[Agent](opts)
	if err != nil {
		return nil, fmt.Errorf("the schema of an agent: %w", err)
	}
	refine(profile, reflect.TypeFor[Profile]())
	refine(agent, reflect.TypeFor[Agent]())
	image := profile.Properties["image"]
	for _, key := range imageKeys {
		image.OneOf = append(image.OneOf, &jsonschema.Schema{Required: []string{key}})
	}
	agent.Properties["command"].MinItems = jsonschema.Ptr(1)
	types[reflect.TypeFor[Entries[Profile]]()] = &jsonschema.Schema{Type: "object", AdditionalProperties: profile}
	types[reflect.TypeFor[Entries[Agent]]()] = &jsonschema.Schema{Type: "object", AdditionalProperties: agent}
	file, err := jsonschema.For[File](opts)
	if err != nil {
		return nil, fmt.Errorf("the schema of the manifest: %w", err)
	}
	refine(file, reflect.TypeFor[File]())
	file.Schema = "https://json-schema.org/draft/2020-12/schema"
	file.Title = Name
	file.Description = "What bottle-tui can launch: profiles (bottles) and agents. Comments and trailing commas are allowed."
	return file, nil
}

// refine adds what the tags of a struct type say to the schema that was inferred from it.
func refine(s *jsonschema.Schema, t reflect.Type) {
	for _, f := range fields(t) {
		property := s.Properties[f.name]
		// The inferred schema lets a list be null, which the reader does not.
		if i := slices.Index(property.Types, "null"); i >= 0 {
			property.Type, property.Types = slices.Delete(property.Types, i, i+1)[0], nil
		}
		of := t.Field(f.index).Type
		if of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Struct && property.Items != nil {
			refine(property.Items, of.Elem())
		}
		if of.Kind() == reflect.Struct {
			refine(property, of)
		}
		form(property, kinds[f.kind])
		if f.names != "" {
			property.PropertyNames = &jsonschema.Schema{Pattern: kinds[f.names].pattern}
		}
		if of == reflect.TypeFor[Bytes]() {
			z := sizes[f.kind]
			property.AnyOf[0].Minimum, property.AnyOf[0].Maximum = jsonschema.Ptr(float64(z.least)), jsonschema.Ptr(float64(z.most))
		}
		if f.kind == "pids" {
			property.Minimum, property.Maximum = jsonschema.Ptr(float64(minPids)), jsonschema.Ptr(float64(maxPids))
		}
	}
}

// form puts what a kind's texts look like wherever the schema of a property has a text.
func form(s *jsonschema.Schema, k kind) {
	if s == nil {
		return
	}
	if s.Type == "string" {
		if k.pattern != "" {
			s.Pattern = k.pattern
		}
		for _, w := range k.words {
			s.Enum = append(s.Enum, w)
		}
	}
	form(s.Items, k)
	for _, one := range s.AnyOf {
		form(one, k)
	}
	if s.Type == "object" && s.Properties == nil {
		form(s.AdditionalProperties, k)
	}
}

// Keys are the keys of the format as rows of a table: the key's path, its type, and what it is for.
func Keys() [][3]string {
	return keys(reflect.TypeFor[File](), "")
}

func keys(t reflect.Type, path string) (rows [][3]string) {
	for _, f := range fields(t) {
		of := t.Field(f.index).Type
		name := path + f.name
		about := f.about
		if f.required {
			about = "Required. " + about
		}
		below := ""
		element := of
		if entries, ok := reflect.New(of).Interface().(interface{ element() reflect.Type }); ok {
			element, below = entries.element(), "."+"NAME"
		} else if of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Struct {
			element, below = of.Elem(), "[]"
		}
		rows = append(rows, [3]string{name, typeWords(of, f), about})
		if element.Kind() == reflect.Struct {
			rows = append(rows, keys(element, name+below+".")...)
		}
	}
	return rows
}

// element is what the members of the object are.
func (e *Entries[T]) element() reflect.Type { return reflect.TypeFor[T]() }

// typeWords says what a value is, in the words of the manifest's errors.
func typeWords(t reflect.Type, f field) string {
	one, many := "text", "list of texts"
	if words := kinds[f.kind].words; words != nil {
		one = list(words)
		many = "list of " + one
	}
	switch {
	case t == reflect.TypeFor[Roles]():
		return one + ", or a list of them"
	case t == reflect.TypeFor[Bytes]():
		return "number or text"
	case t == reflect.TypeFor[Entries[string]]():
		return "object of texts"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int64:
		return "number"
	case t.Kind() == reflect.String:
		return one
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		return many
	case t.Kind() == reflect.Slice && reflect.New(t).Type().Implements(reflect.TypeFor[interface{ element() reflect.Type }]()):
		return "object of objects"
	case t.Kind() == reflect.Slice:
		return "list of objects"
	}
	return "object"
}
