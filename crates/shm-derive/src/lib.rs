//! Derives for what may lie in shared memory: `ShmSafe`, which proves field by field that a type may, and `ShmClone`,
//! which copies it field by field into another shard's memory.

use proc_macro::TokenStream;
use proc_macro2::{Span, TokenStream as Tokens};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Data, DeriveInput, Error, Field, Fields, GenericParam, Generics, Ident, PredicateType, Type,
    TypeParamBound, WherePredicate, parse_macro_input, parse_quote,
};

/// Says that a type may lie in shared memory, if each of its fields may. An error points at the field that may not.
#[proc_macro_derive(ShmSafe)]
pub fn shm_safe(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand_safe(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// Copies a type field by field into another shard's memory.
#[proc_macro_derive(ShmClone)]
pub fn shm_clone(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand_clone(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn expand_safe(input: &DeriveInput) -> Result<Tokens, Error> {
    let fields = fields_of(input, "ShmSafe")?;
    let name = &input.ident;
    let generics = bounded(&input.generics, &parse_quote!(::tocsin_shm::ShmSafe));
    let (params, args, bounds) = generics.split_for_impl();
    let checks = fields.iter().map(|field| {
        let ty = &field.ty;
        quote_spanned! { ty.span() => may_lie_in_shared_memory::<#ty>(); }
    });
    Ok(quote! {
        // SAFETY: each field is proven below.
        #[automatically_derived]
        unsafe impl #params ::tocsin_shm::ShmSafe for #name #args #bounds {}

        const _: () = {
            #[allow(dead_code, clippy::extra_unused_type_parameters, clippy::needless_pass_by_value)]
            fn fields #params () #bounds {
                fn may_lie_in_shared_memory<T: ::tocsin_shm::ShmSafe>() {}
                #(#checks)*
            }
        };
    })
}

fn expand_clone(input: &DeriveInput) -> Result<Tokens, Error> {
    fields_of(input, "ShmClone")?;
    let name = &input.ident;
    let generics = bounded(&input.generics, &parse_quote!(::tocsin_shm::ShmClone));
    let (params, args, bounds) = generics.split_for_impl();
    let body = match &input.data {
        Data::Struct(data) => {
            let arm = copy_arm(&quote!(Self), &data.fields);
            quote! { ::core::result::Result::Ok(match self { #arm }) }
        }
        Data::Enum(data) if data.variants.is_empty() => quote! { match *self {} },
        Data::Enum(data) => {
            let arms = data.variants.iter().map(|variant| {
                let name = &variant.ident;
                copy_arm(&quote!(Self::#name), &variant.fields)
            });
            quote! { ::core::result::Result::Ok(match self { #(#arms)* }) }
        }
        Data::Union(_) => return Err(union(input, "ShmClone")),
    };
    Ok(quote! {
        #[automatically_derived]
        impl #params ::tocsin_shm::ShmClone for #name #args #bounds {
            #[allow(unused_variables, clippy::clone_on_copy)]
            fn try_clone_in(
                &self,
                alloc: ::tocsin_shm::Alloc,
            ) -> ::core::result::Result<Self, ::tocsin_shm::Full> {
                #body
            }
        }
    })
}

/// `path { a: f0, b: f1 } => path { a: clone of f0, b: clone of f1 },`
fn copy_arm(path: &Tokens, fields: &Fields) -> Tokens {
    let locals: Vec<Ident> =
        (0..fields.len()).map(|i| format_ident!("field_{i}", span = Span::mixed_site())).collect();
    let members: Vec<_> = fields.members().collect();
    let copies = fields.iter().zip(&locals).map(|(field, local)| {
        let ty = &field.ty;
        quote_spanned! { ty.span() => <#ty as ::tocsin_shm::ShmClone>::try_clone_in(#local, alloc)? }
    });
    quote! { #path { #(#members: #locals),* } => #path { #(#members: #copies),* }, }
}

fn fields_of<'a>(input: &'a DeriveInput, derive: &str) -> Result<Vec<&'a Field>, Error> {
    match &input.data {
        Data::Struct(data) => Ok(data.fields.iter().collect()),
        Data::Enum(data) => Ok(data.variants.iter().flat_map(|variant| &variant.fields).collect()),
        Data::Union(_) => Err(union(input, derive)),
    }
}

/// The generics with `bound` on each type parameter, beside the bounds that it has.
fn bounded(generics: &Generics, bound: &TypeParamBound) -> Generics {
    let mut generics = generics.clone();
    let Generics { params, where_clause, .. } = &mut generics;
    for param in params {
        let GenericParam::Type(param) = param else { continue };
        let predicates = where_clause.iter_mut().flat_map(|clause| &mut clause.predicates);
        match predicates.filter_map(of_type).find(|predicate| is_about(predicate, &param.ident)) {
            Some(predicate) => predicate.bounds.push(bound.clone()),
            None => param.bounds.push(bound.clone()),
        }
    }
    generics
}

fn of_type(predicate: &mut WherePredicate) -> Option<&mut PredicateType> {
    match predicate {
        WherePredicate::Type(predicate) => Some(predicate),
        _ => None,
    }
}

fn is_about(predicate: &PredicateType, param: &Ident) -> bool {
    matches!(&predicate.bounded_ty, Type::Path(ty) if ty.path.is_ident(param))
}

fn union(input: &DeriveInput, derive: &str) -> Error {
    Error::new_spanned(
        &input.ident,
        format!("{derive} cannot be derived for a union: nobody knows which field is set"),
    )
}
