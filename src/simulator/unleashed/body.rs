//! The bodies of writes, read as strictly as a server may: a member nobody knows is refused with the whole request, and so
//! are the twins in base currency and the accounts of Xero, which only ever stand in answers. A member that is `null`
//! counts as left out. Source: Unleashed API documentation; observed in public clients where it says nothing.
//!
//! When and by whom a record was changed may come back as it was read, and counts for nothing.

use serde::Deserialize;

use crate::simulator::amount::Fine;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct OrderBody {
    pub guid: Option<String>,
    pub order_number: Option<String>,
    pub order_date: Option<String>,
    pub required_date: Option<String>,
    pub order_status: Option<String>,
    pub customer: Option<CustomerName>,
    pub customer_ref: Option<String>,
    pub warehouse: Option<WarehouseName>,
    pub currency: Option<CurrencyName>,
    pub exchange_rate: Option<Fine>,
    pub tax: Option<TaxName>,
    pub tax_rate: Option<Fine>,
    pub taxable: Option<bool>,
    pub sub_total: Option<Fine>,
    pub tax_total: Option<Fine>,
    pub total: Option<Fine>,
    pub discount_rate: Option<Fine>,
    pub source_id: Option<String>,
    pub comments: Option<String>,
    pub delivery_name: Option<String>,
    pub delivery_street_address: Option<String>,
    pub delivery_street_address2: Option<String>,
    pub delivery_suburb: Option<String>,
    pub delivery_city: Option<String>,
    pub delivery_region: Option<String>,
    pub delivery_country: Option<String>,
    pub delivery_post_code: Option<String>,
    pub delivery_instruction: Option<String>,
    pub delivery_method: Option<String>,
    pub sales_order_lines: Option<Vec<OrderLineBody>>,
    #[serde(rename = "CreatedOn")]
    _created_on: Option<String>,
    #[serde(rename = "CreatedBy")]
    _created_by: Option<String>,
    #[serde(rename = "LastModifiedOn")]
    _modified_on: Option<String>,
    #[serde(rename = "LastModifiedBy")]
    _modified_by: Option<String>,
    #[serde(rename = "CompletedDate")]
    _completed_date: Option<String>,
}

impl OrderBody {
    /// The members a careful client sends, and whether they are there.
    pub fn expected(&self) -> Vec<(&'static str, bool)> {
        vec![
            ("Guid", self.guid.is_some()),
            ("OrderNumber", self.order_number.is_some()),
            ("OrderDate", self.order_date.is_some()),
            ("RequiredDate", self.required_date.is_some()),
            ("OrderStatus", self.order_status.is_some()),
            ("Warehouse", self.warehouse.is_some()),
            ("Currency", self.currency.is_some()),
            ("ExchangeRate", self.exchange_rate.is_some()),
            ("Tax", self.tax.is_some()),
            ("TaxRate", self.tax_rate.is_some()),
            ("Taxable", self.taxable.is_some()),
            ("DiscountRate", self.discount_rate.is_some()),
            ("SubTotal", self.sub_total.is_some()),
            ("TaxTotal", self.tax_total.is_some()),
            ("Total", self.total.is_some()),
        ]
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct OrderLineBody {
    pub guid: Option<String>,
    pub line_number: Option<u32>,
    pub line_type: Option<String>,
    pub product: Option<ProductName>,
    pub order_quantity: Option<Fine>,
    pub unit_price: Option<Fine>,
    pub discount_rate: Option<Fine>,
    pub line_total: Option<Fine>,
    pub line_tax: Option<Fine>,
    pub tax_rate: Option<Fine>,
    pub line_tax_code: Option<String>,
    pub comments: Option<String>,
    #[serde(rename = "LastModifiedOn")]
    _modified_on: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CreditBody {
    pub guid: Option<String>,
    pub credit_number: Option<String>,
    pub credit_date: Option<String>,
    pub status: Option<String>,
    pub reference: Option<String>,
    pub comments: Option<String>,
    pub customer: Option<CustomerName>,
    pub warehouse: Option<WarehouseName>,
    pub sales_order: Option<OrderName>,
    pub invoice_number: Option<String>,
    pub currency: Option<CurrencyName>,
    pub exchange_rate: Option<Fine>,
    pub tax: Option<TaxName>,
    pub tax_rate: Option<Fine>,
    pub sub_total: Option<Fine>,
    pub tax_total: Option<Fine>,
    pub total: Option<Fine>,
    pub credit_lines: Option<Vec<CreditLineBody>>,
    #[serde(rename = "CreatedOn")]
    _created_on: Option<String>,
    #[serde(rename = "CreatedBy")]
    _created_by: Option<String>,
    #[serde(rename = "LastModifiedOn")]
    _modified_on: Option<String>,
    #[serde(rename = "LastModifiedBy")]
    _modified_by: Option<String>,
}

impl CreditBody {
    /// See [`OrderBody::expected`].
    pub fn expected(&self) -> Vec<(&'static str, bool)> {
        vec![
            ("CreditDate", self.credit_date.is_some()),
            ("Warehouse", self.warehouse.is_some()),
            ("Currency", self.currency.is_some()),
            ("ExchangeRate", self.exchange_rate.is_some()),
            ("Tax", self.tax.is_some()),
            ("TaxRate", self.tax_rate.is_some()),
            ("SubTotal", self.sub_total.is_some()),
            ("TaxTotal", self.tax_total.is_some()),
            ("Total", self.total.is_some()),
        ]
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CreditLineBody {
    pub guid: Option<String>,
    pub line_number: Option<u32>,
    pub product: Option<ProductName>,
    pub credit_quantity: Option<Fine>,
    pub credit_price: Option<Fine>,
    pub line_total: Option<Fine>,
    pub line_tax: Option<Fine>,
    pub tax_rate: Option<Fine>,
    pub line_tax_code: Option<String>,
    pub comments: Option<String>,
    #[serde(rename = "Reason")]
    _reason: Option<String>,
    #[serde(rename = "LastModifiedOn")]
    _modified_on: Option<String>,
}

/// By its GUID, or by its code. A name that comes with them counts for nothing here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CustomerName {
    pub guid: Option<String>,
    pub customer_code: Option<String>,
    #[serde(rename = "CustomerName")]
    pub name: Option<String>,
    #[serde(rename = "CurrencyId")]
    _currency_id: Option<i64>,
    #[serde(rename = "LastModifiedOn")]
    _modified_on: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct WarehouseName {
    pub guid: Option<String>,
    pub warehouse_code: Option<String>,
    #[serde(rename = "WarehouseName")]
    _name: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ProductName {
    pub guid: Option<String>,
    pub product_code: Option<String>,
    #[serde(rename = "ProductDescription")]
    _description: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct OrderName {
    pub guid: Option<String>,
    pub order_number: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CurrencyName {
    pub currency_code: Option<String>,
    #[serde(rename = "Guid")]
    _guid: Option<String>,
    #[serde(rename = "Description")]
    _description: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct TaxName {
    pub tax_code: Option<String>,
    #[serde(rename = "Guid")]
    _guid: Option<String>,
    #[serde(rename = "Description")]
    _description: Option<String>,
    #[serde(rename = "TaxRate")]
    _rate: Option<Fine>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CustomerBody {
    pub guid: Option<String>,
    pub customer_code: Option<String>,
    pub customer_name: Option<String>,
    pub email: Option<String>,
    pub contact_first_name: Option<String>,
    pub contact_last_name: Option<String>,
    pub phone_number: Option<String>,
    pub mobile_number: Option<String>,
    pub notes: Option<String>,
    pub currency: Option<CurrencyName>,
    pub taxable: Option<bool>,
    pub tax_code: Option<String>,
    pub source_id: Option<String>,
    pub print_packing_slip_instead_of_invoice: Option<bool>,
    pub stop_credit: Option<bool>,
    pub obsolete: Option<bool>,
    #[serde(rename = "LastModifiedOn")]
    _modified_on: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ProductBody {
    pub guid: Option<String>,
    pub product_code: Option<String>,
    pub product_description: Option<String>,
    pub never_diminishing: Option<bool>,
    pub default_sell_price: Option<Fine>,
    pub barcode: Option<String>,
    pub notes: Option<String>,
    pub source_id: Option<String>,
    pub obsolete: Option<bool>,
    #[serde(rename = "IsSellable")]
    _is_sellable: Option<bool>,
    #[serde(rename = "TaxableSales")]
    _taxable_sales: Option<bool>,
    #[serde(rename = "LastModifiedOn")]
    _modified_on: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_knows_or_only_stands_in_answers_is_refused() {
        let error = |body: &str| serde_json::from_str::<OrderBody>(body).err().map(|error| error.to_string());

        assert_eq!(
            error(r#"{"Comments":null,"LastModifiedOn":"/Date(1)/","SalesOrderLines":[{"LineType":null}]}"#),
            None
        );
        for (body, found) in [
            (r#"{"BCTotal":1}"#, "BCTotal"),
            (r#"{"SalesOrderLines":[{"XeroSalesAccount":"200"}]}"#, "XeroSalesAccount"),
            (r#"{"SalesOrderLines":[{"AverageLandedPriceAtTimeOfSale":1}]}"#, "AverageLanded"),
            (r#"{"Customer":{"Guid":"x","Email":"a@b.example"}}"#, "Email"),
            (r#"{"Total":"23.29"}"#, "no plain decimal"),
            (r#"{"orderNumber":"SCF-1"}"#, "orderNumber"),
        ] {
            let told = error(body).unwrap_or_default();
            assert!(told.contains(found), "{body}: {told}");
        }
    }
}
